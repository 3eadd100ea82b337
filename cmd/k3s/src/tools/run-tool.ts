import { executablePath, loadComponentSet } from "@k3s/components";
import type { CommandContext } from "../context.ts";
import { ToolError } from "../errors.ts";
import { toolPresets, type Tool } from "./tool-environment.ts";

/** Becomes the tool: same process id, terminal, signals and exit code. Returns only by throwing. */
export async function runTool(tool: Tool, context: CommandContext): Promise<never> {
  const { args, env, componentsDir } = context;
  const set = await loadComponentSet(componentsDir);
  if (!set.has(tool)) throw ToolError.absent(tool, componentsDir);
  const presets = await toolPresets(tool, { args, env });
  if (presets.hint !== undefined) context.writeError(`${presets.hint}\n`);
  const path = set.path(tool);
  const variables = {
    ...env,
    ...presets.env,
    PATH: executablePath({ set, inherited: env["PATH"] ?? "", preferBundled: false }),
  };
  return becomeProgram(path, [tool, ...args], variables);
}

function becomeProgram(path: string, args: readonly string[], env: CommandContext["env"]): never {
  if (process.execve === undefined)
    throw ToolError.notExecutable(path, new Error("this runtime cannot replace itself"));
  const variables = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined));
  try {
    return process.execve(path, args, variables);
  } catch (error) {
    throw ToolError.notExecutable(path, error);
  }
}
