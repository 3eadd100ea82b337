import { CATEGORIES, recordedArgument, settingEntries, settingsOf, type Role, type Setting } from "@k3s/config";
import { Command, Option } from "commander";

/** What the command line says, before anything is checked. */
export interface ParsedFlags {
  readonly flags: ReadonlyMap<string, readonly string[]>;
  readonly unknownFlags: readonly string[];
  readonly operands: readonly string[];
  /** The flags as they were understood, in their order, by their long names and with secrets masked. */
  readonly recorded: readonly string[];
}

const DESCRIPTIONS: Readonly<Record<Role, string>> = {
  server: "Run a Kubernetes server on this machine, with its control plane and a node",
  agent: "Run a node on this machine that joins a cluster",
};

/** The command with the flags of the table that it takes, in the groups of its help. `run` gets what was given. */
export function nodeCommand(role: Role, run: (parsed: ParsedFlags) => Promise<void>): Command {
  const flags = new Map<string, string[]>();
  const recorded: string[] = [];
  const settings = settingsOf(role);
  const command = new Command(role)
    .description(DESCRIPTIONS[role])
    .usage("[flags]")
    .helpOption("-h, --help", "Show this help")
    .allowUnknownOption()
    .argument("[operands...]");
  for (const category of CATEGORIES) {
    const rows = settings.filter(([, { category: its }]) => its === category);
    if (rows.length > 0) command.optionsGroup(`${category}:`);
    for (const [name, setting] of rows) {
      const take = (text: string) => {
        flags.set(name, [...(flags.get(name) ?? []), text]);
        recorded.push(...recordedArgument(name, text));
        return text;
      };
      for (const option of optionsOf(name, setting)) command.addOption(option.argParser(take));
    }
  }
  command.action(async (rest: readonly string[]) => {
    await run({ flags, recorded, ...splitRest(rest) });
  });
  return command;
}

function optionsOf(name: string, setting: Setting<unknown>): Option[] {
  const value = setting.kind === "switch" ? "[boolean]" : `<${setting.placeholder ?? "value"}>`;
  const isLetter = name.length === 1;
  const short = setting.short === undefined ? "" : `-${setting.short}, `;
  const main = new Option(isLetter ? `-${name} ${value}` : `${short}--${name} ${value}`, helpText(setting));
  const former = setting.formerly === undefined ? [] : [new Option(`--${setting.formerly} ${value}`).hideHelp()];
  return [main, ...former].map((option) => (setting.kind === "switch" ? option.preset("true") : option));
}

function helpText({ help, fallbackText, env, kind }: Setting<unknown>): string {
  const notes = [
    ...(kind === "list" ? ["repeatable"] : []),
    ...(fallbackText === undefined || kind === "switch" ? [] : [`default: ${fallbackText}`]),
    `env: ${env}`,
  ];
  return `${help} (${notes.join("; ")})`;
}

function splitRest(rest: readonly string[]): Pick<ParsedFlags, "unknownFlags" | "operands"> {
  const isFlag = (text: string) => text.startsWith("-") && text.length > 1;
  return {
    unknownFlags: rest.filter(isFlag).map((text) => text.split("=")[0] ?? text),
    operands: rest.filter((text) => !isFlag(text)),
  };
}

/** Spellings that Go programs accept: one dash before a long name, `-x=value`. What is the value of a flag stays as it is. */
export function normalizeArguments(args: readonly string[]): readonly string[] {
  const result: string[] = [];
  let isValueNext = false;
  for (const text of args) {
    const flag: Flag | undefined = isValueNext ? undefined : parseFlag(text);
    result.push(...(flag === undefined ? [text] : spellFlag(flag)));
    isValueNext = flag !== undefined && flag.value === undefined && flag.setting.kind !== "switch";
  }
  return result;
}

interface Flag {
  readonly name: string;
  readonly value: string | undefined;
  readonly setting: Setting<unknown>;
}

function parseFlag(text: string): Flag | undefined {
  const [, name = "", value] = /^--?([A-Za-z][\w-]*)(?:=(.*))?$/s.exec(text) ?? [];
  const found = settingEntries.find(([main, { short, formerly }]) => [main, short, formerly].includes(name));
  return found === undefined ? undefined : { name, value, setting: found[1] };
}

function spellFlag({ name, value }: Flag): readonly string[] {
  if (name.length === 1) return value === undefined ? [`-${name}`] : [`-${name}`, value];
  return [value === undefined ? `--${name}` : `--${name}=${value}`];
}
