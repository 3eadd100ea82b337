import { Command, Option } from "commander";
import type { CommandContext } from "./context.ts";
import { normalizeGoFlags } from "./normalize-go-flags.ts";
import type { TokenTexts } from "./token/read-new-token.ts";
import type { TokenAction } from "./token/run-token.ts";

const HELP: Readonly<Record<TokenAction, string>> = {
  create: "Make a bootstrap token with which agents can join, and print it",
  delete: "Remove bootstrap tokens, by id or whole",
  generate: "Print a random bootstrap token that nothing knows of yet",
  list: "List the bootstrap tokens",
  rotate: "Change the token of the servers; they, and agents that use it, need the new one at their next start",
};

/** Every flag with a value; the others are switches. */
const VALUE_FLAGS = [
  ...["data-dir", "d", "kubeconfig", "description", "groups", "ttl", "usages"],
  ...["output", "o", "token", "t", "server", "s", "new-token"],
];

/** `k3s token …`: what machines join with. `exit` gets the exit code. */
export function tokenCommand(context: CommandContext, exit: (code: number) => void): Command {
  const command = new Command("token")
    .description("Manage the tokens that machines join with")
    .usage("[command]")
    .helpOption("-h, --help", "Show this help")
    .helpCommand(false)
    .addOption(new Option("--debug [boolean]").preset("true").hideHelp())
    .addOption(new Option("-d, --data-dir <FOLDER>").hideHelp())
    .enablePositionalOptions();
  command.action(() => context.write(command.helpInformation()));
  const run = async (action: TokenAction, operands: readonly string[], texts: TokenTexts) => {
    const { runToken } = await import("./token/run-token.ts");
    exit(await runToken({ action, operands, texts: { ...command.opts<TokenTexts>(), ...texts } }, context));
  };
  command.addCommand(createCommand(run));
  command.addCommand(
    clusterCommand("delete")
      .usage("[flags] ID...")
      .argument("[tokens...]")
      .action((tokens: readonly string[], texts: TokenTexts) => run("delete", tokens, texts)),
  );
  command.addCommand(clusterCommand("generate").action((texts: TokenTexts) => run("generate", [], texts)));
  command.addCommand(
    clusterCommand("list")
      .option("-o, --output <FORMAT>", "text, json or yaml (default: text)")
      .action((texts: TokenTexts) => run("list", [], texts)),
  );
  command.addCommand(rotateCommand(run));
  return command;
}

type Run = (action: TokenAction, operands: readonly string[], texts: TokenTexts) => Promise<void>;

function createCommand(run: Run): Command {
  const collect = (text: string, found: readonly string[] = []) => [...found, ...text.split(",")];
  return clusterCommand("create")
    .usage("[flags] [TOKEN]")
    .argument("[token]")
    .option("--description <TEXT>", "What the token is for, for people")
    .addOption(
      new Option(
        "--groups <GROUP>",
        "Groups of whoever shows the token (repeatable; default: system:bootstrappers:k3s:default-node-token)",
      ).argParser(collect),
    )
    .option("--ttl <DURATION>", "How long the token is good, such as 90m or 48h; 0 for ever (default: 24h)")
    .addOption(new Option("--usages <USAGE>", "signing, authentication (repeatable; default: both)").argParser(collect))
    .action((token: string | undefined, texts: TokenTexts) => run("create", token === undefined ? [] : [token], texts));
}

function rotateCommand(run: Run): Command {
  return tokenSubcommand("rotate")
    .option("-t, --token <TOKEN>", "The token as it is (default: that of the server on this machine; env: K3S_TOKEN)")
    .option("-s, --server <URL>", "Server to ask (default: https://127.0.0.1:6443; env: K3S_URL)")
    .option("--new-token <TOKEN>", "The token as it shall be (default: a random one)")
    .action((texts: TokenTexts) => run("rotate", [], texts));
}

function clusterCommand(name: TokenAction): Command {
  return tokenSubcommand(name).option(
    "--kubeconfig <FILE>",
    "How to reach the cluster (default: admin.kubeconfig of the server on this machine; env: KUBECONFIG)",
  );
}

function tokenSubcommand(name: TokenAction): Command {
  return new Command(name)
    .description(HELP[name])
    .usage("[flags]")
    .helpOption("-h, --help", "Show this help")
    .option("-d, --data-dir <FOLDER>", "Data dir of the server on this machine (env: K3S_DATA_DIR)")
    .addOption(new Option("--debug [boolean]").preset("true").hideHelp());
}

/** Spellings that Go programs accept, for these commands. */
export function normalizeTokenArguments(args: readonly string[]): readonly string[] {
  return normalizeGoFlags(args, VALUE_FLAGS);
}
