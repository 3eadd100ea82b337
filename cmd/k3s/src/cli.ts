import { nearest } from "@k3s/config";
import { Command, CommanderError } from "commander";
import { airgapCommand, normalizeAirgapArguments } from "./airgap-command.ts";
import { checkConfigCommand, normalizeCheckConfigArguments } from "./check-config-command.ts";
import type { CommandContext } from "./context.ts";
import { datastoreCommand, normalizeDatastoreArguments } from "./datastore-command.ts";
import { UsageError } from "./errors.ts";
import { nodeCommand, normalizeArguments } from "./node-flags.ts";
import { normalizeTokenArguments, tokenCommand } from "./token-command.ts";
import { TOOLS, type Tool } from "./tools/tool-environment.ts";

const TOOL_HELP: Readonly<Record<Tool, string>> = {
  kubectl: "Talk to the cluster with the bundled kubectl",
  ctr: "Talk to containerd with the bundled ctr",
  crictl: "Talk to the container runtime with the bundled crictl",
};

/** Understands the command line and runs what it asks for. Resolves with the exit code, rejects with UsageError. */
export async function runCli(context: CommandContext): Promise<number> {
  let exitCode = 0;
  const program = createProgram(context, (code) => {
    exitCode = code;
  });
  try {
    const args = spellHelp(context.args);
    await program.parseAsync([...normalizerOf(args[0])(args)], { from: "user" });
    return exitCode;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return 0; // help was asked for, and shown
    throw UsageError.wrongArguments(
      error.message.replace(/^error: /, "").replace(/[.\n]+$/, ""),
      spokenTo(program, context.args),
    );
  }
}

/** `help datastore serve` is `datastore serve --help`; commander knows the help of commands at the top alone. */
function spellHelp(args: readonly string[]): readonly string[] {
  const [first, group, command] = args;
  const isDeep = first === "help" && group !== undefined && command !== undefined && !command.startsWith("-");
  return isDeep ? [group, command, "--help"] : args;
}

/** The command that the arguments reach, such as `k3s datastore serve`. */
function spokenTo(program: Command, args: readonly string[]): string {
  let [command, path] = [program, program.name()];
  for (const arg of args) {
    const next = command.commands.find((each) => each.name() === arg);
    if (next === undefined) continue;
    [command, path] = [next, `${path} ${arg}`];
  }
  return path;
}

/** Commands of k3s v1.20 and newer that are not here. */
const OTHER_COMMANDS: ReadonlySet<string> = new Set(["certificate", "completion", "etcd-snapshot", "secrets-encrypt"]);

/** What makes of Go's spellings those that we know. */
function normalizerOf(command: string | undefined): (args: readonly string[]) => readonly string[] {
  if (command === "datastore") return normalizeDatastoreArguments;
  if (command === "airgap") return normalizeAirgapArguments;
  if (command === "check-config") return normalizeCheckConfigArguments;
  return command === "token" ? normalizeTokenArguments : normalizeArguments;
}

function createProgram(context: CommandContext, exit: (code: number) => void): Command {
  const program = new Command("k3s")
    .description("Kubernetes in one executable")
    .usage("[command]")
    .helpOption("-h, --help", "Show this help")
    .helpCommand("help [command]", "Show the help of a command")
    .option("-v, --version", "Print the versions of k3s and of its runtime")
    .argument("[command]")
    .argument("[arguments...]")
    .enablePositionalOptions()
    .exitOverride()
    .configureHelp({ optionDescription: ({ description }) => description, subcommandTerm: (command) => command.name() })
    .configureOutput({ writeOut: context.write, writeErr: ignoreText, getOutHelpWidth: () => 120 });
  program.action(async (name: string | undefined, _others: readonly string[], options: { readonly version?: true }) => {
    if (options.version === true) context.write(await loadVersion(context));
    else if (name === undefined) context.write(program.helpInformation());
    else if (OTHER_COMMANDS.has(name)) throw UsageError.absentCommand(name);
    else
      throw UsageError.unknownCommand(
        name,
        nearest(name, [
          ...["server", "agent", "validate", "airgap", "check-config", "datastore", "token", "licenses", "help"],
          ...TOOLS,
        ]),
      );
  });
  for (const role of ["server", "agent"] as const) {
    const command = nodeCommand(role, async (parsed) => {
      const { runNodeCommand } = await import("./node-command.ts");
      exit(await runNodeCommand(role, parsed, context));
    });
    program.addCommand(command.copyInheritedSettings(program));
  }
  program.addCommand(validateCommand(program, context));
  program.addCommand(checkConfigCommand(context, exit).copyInheritedSettings(program));
  for (const group of [airgapCommand, datastoreCommand, tokenCommand].map((make) => make(context, exit))) {
    for (const command of [group, ...group.commands]) command.copyInheritedSettings(program);
    program.addCommand(group);
  }
  program
    .command("licenses")
    .description("Print the licences of everything in this executable")
    .copyInheritedSettings(program)
    .action(async () => context.write(await context.licenses()));
  // Only their names are needed here, for help: main.ts runs them before this file is loaded.
  for (const tool of TOOLS) program.command(tool).description(TOOL_HELP[tool]).usage("[arguments]");
  return program;
}

/** Says whether a server or an agent would take these arguments, and starts nothing. */
function validateCommand(program: Command, context: CommandContext): Command {
  const group = new Command("validate")
    .description("Check the arguments, variables and config file of a server or an agent")
    .copyInheritedSettings(program);
  for (const role of ["server", "agent"] as const) {
    const command = nodeCommand(role, async (parsed) => {
      const { validateNodeCommand } = await import("./validate-node-command.ts");
      await validateNodeCommand(role, parsed, context);
    });
    group.addCommand(command.copyInheritedSettings(program));
  }
  return group;
}

function ignoreText(): void {
  // Mistakes are thrown, and printed once by main.ts.
}

async function loadVersion({ components }: CommandContext): Promise<string> {
  const { formatVersion } = await import("./version.ts");
  return await formatVersion(components);
}
