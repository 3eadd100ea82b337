import { CATEGORIES, settingsOf, unsupportedFlags, type Role, type Setting } from "@k3s/config";

/** The page that lists every flag of `k3s server` and of `k3s agent`. */
export function formatFlagReference(): string {
  const parts = [INTRODUCTION, formatRole("server"), formatRole("agent"), formatUnsupported()];
  return `${parts.join("\n\n")}\n`;
}

function formatRole(role: Role): string {
  const sections = CATEGORIES.flatMap((category) => {
    const rows = settingsOf(role).filter(([, setting]) => setting.category === category);
    if (rows.length === 0) return [];
    const head = ["| Flag | Variable | Default | Meaning |", "|---|---|---|---|"];
    return [`### ${category}`, [...head, ...rows.map(formatRow)].join("\n")];
  });
  return [`## k3s ${role}`, ...sections].join("\n\n");
}

const INTRODUCTION = `# Flags of k3s server and k3s agent

Each setting can be given as a flag, in a config file under the name of the flag without dashes, or as a variable. A flag beats
the config files, they beat the variable, and that beats the default. Flags marked *list* may be repeated; what the config files
and the flags say then adds up. A variable holds a list with commas, or with blanks for the \`…-arg\` settings.

The config file is \`/etc/rancher/k3s/config.yaml\`; after it \`config.yaml.d/*.yaml\` are read in order of their names. A later value
replaces an earlier one, also for lists; under \`key+\` it is added.

This page is made from the table of settings by \`build/src/docs.ts\`.`;

function formatRow([name, setting]: readonly [string, Setting<unknown>]): string {
  const { env, help, kind, short, fallbackText = "" } = setting;
  const spellings = [name.length === 1 ? `-${name}` : `--${name}`, ...(short === undefined ? [] : [`-${short}`])];
  const flag = spellings.map((spelling) => `\`${spelling}\``).join(", ");
  return `| ${flag}${kind === "list" ? " *list*" : ""} | \`${env}\` | ${fallbackText} | ${help.replaceAll("|", "\\|")} |`;
}

function formatUnsupported(): string {
  const rows = [...unsupportedFlags]
    .filter(([name]) => name.length > 1)
    .map(([name, { reason }]) => `| \`--${name}\` | ${reason} |`);
  return [
    "## Not supported",
    "These flags of the original are refused by name. In a config file `false` is accepted for them.",
    ["| Flag | Reason |", "|---|---|", ...rows].join("\n"),
  ].join("\n\n");
}
