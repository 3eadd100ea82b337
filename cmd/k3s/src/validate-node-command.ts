import { readHostFacts, type Role } from "@k3s/config";
import { assertNoOperands } from "./assert-no-operands.ts";
import type { CommandContext } from "./context.ts";
import type { ParsedFlags } from "./node-flags.ts";
import { ROLES } from "./node-roles.ts";
import { listenForStop } from "./signals.ts";
import { TOOLS } from "./tools/tool-environment.ts";

/** Loads the configuration of a node; prints its warnings, and what the installer needs of it. Rejects with UsageError or ConfigError, as its start would. */
export async function validateNodeCommand(role: Role, parsed: ParsedFlags, context: CommandContext): Promise<void> {
  using requests = listenForStop();
  assertNoOperands(role, parsed);
  const host = await readHostFacts();
  const { config, node } = await ROLES[role]({ ...parsed, env: context.env, host, signal: requests.shutdown });
  for (const warning of config.warnings) context.write(`Warning: ${warning}\n`);
  context.write(`Data directory: ${config.dataDir}\n`);
  // A new id is only kept by a start; the name would be another one then.
  if (node !== undefined && config.newNodeId === undefined) context.write(`Node: ${node}\n`);
  const tools = await toolsOf(context);
  if (tools.length > 0) context.write(`Tools: ${tools.join(" ")}\n`);
}

/** Those that the programs of this release hold; none where there is no list of them, which settings do not depend on. */
async function toolsOf({ components }: CommandContext): Promise<readonly string[]> {
  const manifest = await components.manifest().catch(() => undefined);
  return TOOLS.filter((tool) => manifest?.files.some(({ path }) => path === `bin/${tool}`));
}
