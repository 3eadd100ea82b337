import { ENDPOINT_FORMS, nearest } from "@k3s/config";
import { Command, Option } from "commander";
import type { CommandContext } from "./context.ts";
import { kineFlags, kineVariable, type KineFlag } from "./datastore/serve-flags.ts";
import { UsageError } from "./errors.ts";
import type { ToolName, ToolRun } from "./datastore/run-tool.ts";

/** The texts that commander found, by option. */
type Texts = Readonly<Record<string, string | boolean | undefined>>;

const TOOL_HELP: Readonly<Record<ToolName, string>> = {
  status: "Show size, rows, revisions, leases and slowest statements",
  check: "Read everything and look for damage; exit code 1 when there is some",
  compact: "Forget history, as the API server does every five minutes",
  dump: "Print every key with its revision and the size of its value; --json prints the values",
};

/** `k3s datastore …`: the datastore on its own, and tools that look into one. `exit` gets the exit code. */
export function datastoreCommand(context: CommandContext, exit: (code: number) => void): Command {
  const command = new Command("datastore")
    .description("Serve a datastore on its own, or look into one")
    .usage("[command]")
    .helpOption("-h, --help", "Show this help")
    .helpCommand(false)
    .addOption(new Option("--debug [boolean]").preset("true").hideHelp())
    .addOption(new Option("-d, --data-dir <FOLDER>").hideHelp())
    .argument("[command]")
    .argument("[arguments...]")
    .allowUnknownOption() // a flag behind a misspelt command is not what is wrong
    .enablePositionalOptions();
  command.action((name: string | undefined, [topic]: readonly string[]) => {
    const wanted = name === "help" ? topic : name;
    const found = command.commands.find((each) => each.name() === wanted);
    if (wanted !== undefined && found === undefined) throw noCommand(wanted, command);
    context.write((found ?? command).helpInformation());
  });
  const globals = () => command.opts<Texts>();
  const tool = async (name: ToolName, texts: Texts) => {
    const { runTool } = await import("./datastore/run-tool.ts");
    exit(await runTool(toRun(name, { ...globals(), ...texts }), context));
  };
  command.addCommand(
    serveCommand(async (texts) => {
      const { serveDatastore } = await import("./datastore/serve-datastore.ts");
      const flags = kineFlags.flatMap(({ name }) => {
        const text = texts[camel(name)] ?? globals()[camel(name)];
        return text === undefined ? [] : [[name, String(text)] as const];
      });
      exit(await serveDatastore(new Map(flags), context));
    }),
  );
  command.addCommand(toolCommand("status", tool));
  command.addCommand(toolCommand("check", tool));
  command.addCommand(
    toolCommand("compact", tool)
      .option("--revision <NUMBER>", "Forget what is older than this revision")
      .option("--retain <NUMBER>", "Without --revision: revisions that stay (default: 1000)"),
  );
  command.addCommand(toolCommand("dump", tool).option("--prefix <TEXT>", "Only keys that start with this"));
  return command;
}

function noCommand(name: string, { commands }: Command): UsageError {
  if (name.startsWith("-")) return UsageError.wrongArguments(`unknown option '${name}'`, "k3s datastore");
  const names = commands.map((each) => each.name());
  return UsageError.unknownCommand(name, nearest(name, [...names, "help"]), "k3s datastore");
}

/** kine takes one dash in front of a long name as well. */
export function normalizeDatastoreArguments(args: readonly string[]): readonly string[] {
  return args.map((text) => (/^-[a-z][\w-]+(=|$)/.test(text) ? `-${text}` : text));
}

function serveCommand(run: (texts: Texts) => Promise<void>): Command {
  const command = new Command("serve")
    .description("Serve a datastore as etcd, with the flags and variables of kine")
    .usage("[flags]")
    .helpOption("-h, --help", "Show this help");
  for (const flag of kineFlags) command.addOption(optionOf(flag));
  command.action((texts: Texts) => run(texts));
  return command;
}

function optionOf(flag: KineFlag): Option {
  const { name, kind, fallback, help, ignored, refused, isHidden } = flag;
  const value = kind === "switch" ? "[boolean]" : `<${kind === "text" ? "value" : kind}>`;
  const shown = fallback === "" || kind === "switch" ? "" : `default: ${fallback}; `;
  const limit = ignored !== undefined ? `; has no effect: ${ignored}` : refused && `; not supported: ${refused}`;
  const option = new Option(`--${name} ${value}`, `${help}${limit ?? ""} (${shown}env: ${kineVariable(flag)})`);
  if (kind === "switch") option.preset("true");
  return isHidden === true ? option.hideHelp() : option;
}

function toolCommand(name: ToolName, run: (name: ToolName, texts: Texts) => Promise<void>): Command {
  return new Command(name)
    .description(TOOL_HELP[name])
    .usage("[flags]")
    .helpOption("-h, --help", "Show this help")
    .option(
      "--endpoint <ENDPOINT>",
      `Datastore to work on: ${ENDPOINT_FORMS} (default: that of the node on this machine)`,
    )
    .option("--ca-file <FILE>", "With --endpoint: CA that signed the certificate of its server")
    .option("--cert-file <FILE>", "With --endpoint: client certificate")
    .option("--key-file <FILE>", "With --endpoint: key of that certificate")
    .option("--skip-verify", "With --endpoint: do not verify the certificate of its server")
    .option("-d, --data-dir <FOLDER>", "Data dir of the node")
    .option("-c, --config <FILE>", "Config file of the node")
    .option("--json", "Print JSON")
    .addOption(new Option("--debug [boolean]").preset("true").hideHelp())
    .action((texts: Texts) => run(name, texts));
}

function toRun(tool: ToolName, texts: Texts): ToolRun {
  const text = (name: string) => (typeof texts[name] === "string" ? texts[name] : undefined);
  return {
    tool,
    target: {
      endpoint: text("endpoint"),
      dataDir: text("dataDir"),
      config: text("config"),
      tls: {
        caFile: text("caFile"),
        certFile: text("certFile"),
        keyFile: text("keyFile"),
        skipVerify: texts["skipVerify"] === true,
      },
    },
    isJson: texts["json"] === true,
    isDebug: texts["debug"] === "true",
    revision: text("revision"),
    retain: text("retain"),
    prefix: text("prefix") ?? "",
  };
}

/** commander's name of a flag. */
function camel(name: string): string {
  return name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase());
}
