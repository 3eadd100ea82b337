import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { executablePath } from "@k3s/components";
import type { CommandContext } from "../context.ts";
import { ToolError } from "../errors.ts";
import { toolSet } from "./tool-set.ts";
import { toolPresets, type Tool } from "./tool-environment.ts";

/** Becomes the tool: same process id, terminal, signals and exit code. Returns only by throwing. `globals` stood before its name. */
export async function runTool(tool: Tool, context: CommandContext, globals: readonly string[]): Promise<never> {
  const { args, env, components } = context;
  const set = await toolSet(context, { globals, program: tool });
  if (!set.has(tool)) throw ToolError.absent(tool, components.place);
  const presets = await toolPresets(tool, { args, env });
  if (presets.hint !== undefined) context.writeError(`${presets.hint}\n`);
  const path = set.path(tool);
  await assertExecutable(path);
  const PATH = executablePath({ set, inherited: env["PATH"] ?? "", preferBundled: false });
  return becomeProgram(path, [tool, ...args], { ...env, ...presets.env, PATH });
}

/** The runtime aborts when it cannot become a program, so what can be known is found out before. */
async function assertExecutable(path: string): Promise<void> {
  try {
    await access(path, constants.X_OK);
  } catch (error) {
    throw ToolError.notExecutable(path, error);
  }
}

function becomeProgram(path: string, args: readonly string[], env: CommandContext["env"]): never {
  if (process.execve === undefined) throw new Error("Cannot replace this process: the runtime is too old");
  return process.execve(path, args, Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined)));
}
