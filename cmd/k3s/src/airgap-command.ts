import { Command, Option } from "commander";
import type { AirgapAction, AirgapTexts } from "./airgap/run-airgap.ts";
import type { CommandContext } from "./context.ts";
import { normalizeGoFlags } from "./normalize-go-flags.ts";

const HELP: Readonly<Record<AirgapAction, string>> = {
  list: "List the images that a node needs, one a line",
  images: "Make an archive of these images, for the folder agent/images of a machine without internet",
  bundle: "Make one file with executable, images, installer and checksums for a machine without internet",
};
const VALUE_FLAGS = ["output", "o", "from", "image", "hosts-dir", "executable", "installer", "data-dir", "d"];

/** `k3s airgap …`: what machines without internet need. `exit` gets the exit code. */
export function airgapCommand(context: CommandContext, exit: (code: number) => void): Command {
  const command = new Command("airgap")
    .description("Make image archives and bundles for machines without internet")
    .usage("[command]")
    .helpOption("-h, --help", "Show this help")
    .helpCommand(false)
    .addOption(new Option("--debug [boolean]").preset("true").hideHelp())
    .addOption(new Option("-d, --data-dir <FOLDER>").hideHelp())
    .enablePositionalOptions();
  command.action(() => context.write(command.helpInformation()));
  const run = async (action: AirgapAction, texts: AirgapTexts) => {
    const { runAirgap } = await import("./airgap/run-airgap.ts");
    exit(await runAirgap(action, { ...command.opts<AirgapTexts>(), ...texts }, context));
  };
  command.addCommand(subcommand("list", run));
  command.addCommand(archiveCommand("images", run));
  command.addCommand(
    archiveCommand("bundle", run)
      .option("--executable <FILE>", "Executable of a release to put in (default: this one)")
      .option("--installer <FILE>", "install.sh to put in (default: the one beside the executable)"),
  );
  return command;
}

/** Spellings that Go programs accept, for these commands. */
export function normalizeAirgapArguments(args: readonly string[]): readonly string[] {
  return normalizeGoFlags(args, VALUE_FLAGS);
}

type Run = (action: AirgapAction, texts: AirgapTexts) => Promise<void>;

function archiveCommand(action: AirgapAction, run: Run): Command {
  return subcommand(action, run)
    .option("-o, --output <FILE>", "File to write (default: named after version and processor, in this folder)")
    .addOption(
      new Option(
        "--from <PATH>",
        "Archive of docker save or ctr images export, or folder of them, to take images from (repeatable)",
      ).argParser(collect),
    )
    .addOption(new Option("-d, --data-dir <FOLDER>").hideHelp())
    .option("--offline", "Ask no registry: every image has to be in an archive")
    .option(
      "--hosts-dir <FOLDER>",
      "containerd's hosts.toml files: mirrors, certificates and credentials of registries",
    );
}

function subcommand(action: AirgapAction, run: Run): Command {
  return new Command(action)
    .description(HELP[action])
    .usage("[flags]")
    .helpOption("-h, --help", "Show this help")
    .addOption(new Option("--image <REFERENCE>", "Further image to bring along (repeatable)").argParser(collect))
    .addOption(new Option("--debug [boolean]").preset("true").hideHelp())
    .action((texts: AirgapTexts) => run(action, texts));
}

function collect(text: string, found: readonly string[] = []): readonly string[] {
  return [...found, text];
}
