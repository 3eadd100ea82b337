import { Command, Option } from "commander";
import type { CheckTexts } from "./check-config/run-check-config.ts";
import type { CommandContext } from "./context.ts";
import { normalizeGoFlags } from "./normalize-go-flags.ts";

const VALUE_FLAGS = ["data-dir", "d", "config", "c", "output", "o", "role"];

/** `k3s check-config`: what this machine offers and lacks as a node. `exit` gets the exit code. */
export function checkConfigCommand(context: CommandContext, exit: (code: number) => void): Command {
  return new Command("check-config")
    .description(
      "Show what this machine offers and lacks as a node, with the cure for each miss; exit code 1 when it cannot be one",
    )
    .usage("[flags] [KERNEL_CONFIG]")
    .helpOption("-h, --help", "Show this help")
    .argument("[kernel-config]", "File of kernel options to read in place of those of the running kernel (env: CONFIG)")
    .option("-o, --output <FORMAT>", "text or json (default: text)")
    .option("--json", "The same as --output json")
    .option("--role <ROLE>", "server or agent (default: server, or agent when K3S_URL is set)")
    .option("-d, --data-dir <FOLDER>", "Data dir of the node (env: K3S_DATA_DIR)")
    .option("-c, --config <FILE>", "Config file of the node (env: K3S_CONFIG_FILE)")
    .addOption(new Option("--debug [boolean]").preset("true").hideHelp())
    .action(async (kernelConfig: string | undefined, texts: CheckTexts) => {
      const { runCheckConfig } = await import("./check-config/run-check-config.ts");
      exit(await runCheckConfig({ ...texts, kernelConfig }, context));
    });
}

/** Spellings that Go programs accept, for this command. */
export function normalizeCheckConfigArguments(args: readonly string[]): readonly string[] {
  return normalizeGoFlags(args, VALUE_FLAGS);
}
