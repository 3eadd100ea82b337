import { basename, join } from "node:path";
import type { CommandContext } from "./context.ts";
import { arrangeGlobalFlags } from "./global-flags.ts";
import { TOOLS, type Tool } from "./tools/tool-environment.ts";

/** The name by which a container runtime calls us. */
const CNI_PLUGIN = "flannel";

// A terminal that goes away must not end a node.
process.stderr.on("error", () => undefined);

try {
  process.exitCode = await run(contextOfProcess());
} catch (error) {
  const { formatFailure } = await import("./format-failure.ts");
  process.stderr.write(formatFailure(error));
  process.exitCode = 1;
}
// What is on its way into a pipe would be lost with us.
await Promise.all([process.stdout, process.stderr].map(written));
// Whatever a library still waits for does not concern anybody now.
process.exit();

/** Resolves once the reader has everything, or is gone. */
function written(stream: NodeJS.WritableStream): Promise<void> {
  return new Promise((resolve) => {
    stream.write("", () => resolve());
  });
}

/** Tools come first and load nothing they do not need: people call them in loops. */
async function run(context: CommandContext): Promise<number> {
  const name = basename(process.env["K3S_ARGV0"] ?? process.argv0);
  if (name === CNI_PLUGIN) {
    const { runFlannelPlugin } = await import("@k3s/cni-flannel");
    return runFlannelPlugin(context.env, context.write);
  }
  const called = findTool(name);
  if (called !== undefined) return await become(called, context);
  const { command, args, globals } = arrangeGlobalFlags(context.args);
  const tool = findTool(command);
  if (tool !== undefined) return await become(tool, { ...context, args });
  const { runCli } = await import("./cli.ts");
  return await runCli({ ...context, args: command === undefined ? globals : [command, ...globals, ...args] });
}

function findTool(name: string | undefined): Tool | undefined {
  return TOOLS.find((tool) => tool === name);
}

async function become(tool: Tool, context: CommandContext): Promise<never> {
  const { runTool } = await import("./tools/run-tool.ts");
  return await runTool(tool, context);
}

function contextOfProcess(): CommandContext {
  const { K3S_ARGV0: _, ...env } = process.env; // says how we were called, not how our children are
  return {
    args: process.argv.slice(2),
    env,
    componentsDir: env["K3S_COMPONENTS_DIR"] ?? join(import.meta.dirname, "components"),
    manifestsDir: join(import.meta.dirname, "manifests"),
    executable: join(import.meta.dirname, "../k3s"),
    isTerminal: process.stderr.isTTY,
    write: (text) => void process.stdout.write(text),
    written: () => written(process.stdout),
    writeError: (text) => void process.stderr.write(text),
  };
}
