import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { getAsset } from "node:sea";
import { folderSource, payloadSource } from "@k3s/components";
import { isOneFile } from "@k3s/native";
import { Payload, PayloadError } from "@k3s/payload";
import type { CommandContext } from "./context.ts";
import { arrangeGlobalFlags } from "./global-flags.ts";
import { becomeQuiet, givenArguments } from "./quiet-process.ts";
import { flushed, StandardOutput } from "./standard-output.ts";
import { TOOLS, type Tool } from "./tools/tool-environment.ts";

/** The name by which a container runtime calls us. */
const CNI_PLUGIN = "flannel";
/** What this process was started from; its path may lead to a newer file by now. */
const OWN_FILE = "/proc/self/exe";
/** Commands that run for as long as the machine does, and those that take the same secrets. */
const QUIET = new Set(["server", "agent", "datastore", "token", "validate"]);

void main(); // never rejects

async function main(): Promise<void> {
  // What went wrong may be told to nobody, as when a terminal has gone; that is not what we fail by.
  process.stderr.on("error", () => undefined);
  const output = StandardOutput.of(process.stdout);
  try {
    process.exitCode = await run(contextOfProcess(output));
  } catch (error) {
    const { formatFailure } = await import("./format-failure.ts");
    process.stderr.write(formatFailure(error));
    process.exitCode = 1;
  }
  // What is on its way into a pipe would be lost with us.
  await Promise.allSettled([output.written(), flushed(process.stderr)]);
  // Whatever a library still waits for does not concern anybody now.
  process.exit();
}

/** Tools come first and load nothing they do not need: people call them in loops. */
async function run(context: CommandContext): Promise<number> {
  const name = basename(process.env["K3S_ARGV0"] ?? process.argv0);
  if (name === CNI_PLUGIN) {
    const { runFlannelPlugin } = await import("@k3s/cni-flannel");
    return runFlannelPlugin(context.env, context.write);
  }
  const called = findTool(name);
  if (called !== undefined) return await become(called, context, []);
  const { command, args, globals } = arrangeGlobalFlags(context.args);
  const tool = findTool(command);
  if (tool !== undefined) return await become(tool, { ...context, args }, globals);
  if (isOneFile() && command !== undefined && QUIET.has(command)) becomeQuiet(command, context.args);
  const { runCli } = await import("./cli.ts");
  return await runCli({ ...context, args: command === undefined ? globals : [command, ...globals, ...args] });
}

function findTool(name: string | undefined): Tool | undefined {
  return TOOLS.find((tool) => tool === name);
}

async function become(tool: Tool, context: CommandContext, globals: readonly string[]): Promise<never> {
  const { runTool } = await import("./tools/run-tool.ts");
  return await runTool(tool, context, globals);
}

function contextOfProcess(output: StandardOutput): CommandContext {
  const { args, env } = givenArguments(process.argv.slice(2), process.env);
  return {
    args,
    env,
    ...(isOneFile() ? partsOfExecutable() : partsOfSources()),
    ...(env["K3S_COMPONENTS_DIR"] === undefined ? {} : { components: folderSource(env["K3S_COMPONENTS_DIR"]) }),
    isTerminal: process.stderr.isTTY,
    write: (text) => output.write(text),
    written: () => output.written(),
    discard: () => output.discard(),
    writeError: (text) => void process.stderr.write(text),
  };
}

type Parts = Pick<CommandContext, "components" | "executable" | "licenses" | "readManifest">;

function partsOfExecutable(): Parts {
  return {
    components: payloadSource(OWN_FILE, process.execPath),
    licenses: async () => {
      await using payload = await Payload.open(OWN_FILE, process.execPath);
      const text = await payload.read("licenses.txt");
      if (text === undefined) throw PayloadError.damaged(process.execPath, "its licences are not there");
      return text.toString();
    },
    readManifest: (name) => Promise.resolve(getAsset(`manifests/${name}`, "utf8")),
    executable: process.execPath,
  };
}

function partsOfSources(): Parts {
  const root = join(import.meta.dirname, "../../..");
  return {
    components: folderSource(join(root, "dist/lib/components")),
    licenses: () => readFile(join(root, "LICENSE"), "utf8"),
    readManifest: (name) => readFile(join(root, "manifests", name), "utf8"),
    executable: join(root, "dist/k3s"),
  };
}
