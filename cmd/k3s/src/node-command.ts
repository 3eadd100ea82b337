import { readHostFacts, saveNodeId, type Role } from "@k3s/config";
import type { Component } from "@k3s/lifecycle";
import { createNotifier } from "@k3s/process";
import type { CommandContext } from "./context.ts";
import { assertNoOperands } from "./assert-no-operands.ts";
import { exitOnBug } from "./exit-on-bug.ts";
import { failureFields, formatFailure } from "./format-failure.ts";
import { openLog, type LogOutput } from "./log-output.ts";
import type { ParsedFlags } from "./node-flags.ts";
import { ROLES, type NodePlan } from "./node-roles.ts";
import { runPreflight } from "./preflight/run-preflight.ts";
import { serve } from "./serve.ts";
import { listenForStop, outliveTerminal, type StopRequests } from "./signals.ts";

/** Runs a server or an agent to its end and resolves with the exit code. */
export async function runNodeCommand(role: Role, parsed: ParsedFlags, context: CommandContext): Promise<number> {
  // Arguments may hold a token: from here on a process list shows the title instead.
  process.title = `k3s ${role}`;
  // Signals first: Ctrl-C during the slow steps below must not leave children behind.
  using requests = listenForStop();
  outliveTerminal();

  assertNoOperands(role, parsed);
  // Configuration once. Past this line nobody reads arguments, variables or a settings file.
  const plan = await loadPlan(role, parsed, { context, requests });
  if (plan === undefined) return 0;
  const { debug, log, alsologtostderr, fileArguments } = plan.config;
  const output = await openLog({ debug, file: log, alsoStderr: alsologtostderr });
  exitOnBug(output);
  try {
    await runNode(plan, { context, output, requests, args: [role, ...fileArguments, ...parsed.recorded] });
    return 0;
  } catch (error) {
    // The one place that reports a fatal error: as a line where a journal or a file collects lines, as a text where a person reads.
    const isRead = context.isTerminal || !output.isOnStderr;
    if (!(context.isTerminal && output.isOnStderr)) output.log.error(failureFields(error), "node failed");
    if (isRead) context.writeError(formatFailure(error));
    return 1;
  } finally {
    await output.close();
  }
}

/** Undefined when we were asked to end meanwhile. */
async function loadPlan(
  role: Role,
  parsed: ParsedFlags,
  { context, requests }: Pick<NodeSurroundings, "context" | "requests">,
): Promise<NodePlan | undefined> {
  try {
    const host = await readHostFacts();
    return await ROLES[role]({ ...parsed, env: context.env, host, signal: requests.shutdown });
  } catch (error) {
    if (requests.shutdown.aborted) return undefined;
    throw error;
  }
}

interface NodeSurroundings {
  readonly context: CommandContext;
  readonly output: LogOutput;
  readonly requests: StopRequests;
  /** What the node was started with, config files included; holds no secret. */
  readonly args: readonly string[];
}

async function runNode(plan: NodePlan, { context, output, requests, args }: NodeSurroundings): Promise<void> {
  const { log } = output;
  const { env, readManifest, executable } = context;
  for (const warning of plan.config.warnings) log.warn({ setting: warning }, "check the configuration");
  // The lock is given back last: until then another k3s must not touch the data dir.
  await using _lock = await runPreflight(plan);
  await saveNodeId(plan.config);

  // Children must not speak to the service manager in our name.
  const { NOTIFY_SOCKET: notifySocket, ...childEnv } = env;
  const components: readonly Component[] = await plan.components({
    ...{ log, components: context.components, readManifest, executable, env: childEnv, args },
  });
  const notifier = createNotifier(notifySocket, { log, watchdogUsec: env["WATCHDOG_USEC"] });
  const { shutdown, impatient } = requests;
  const messages = { upMessage: plan.upMessage, downMessage: "node has stopped" };
  await serve(components, { log, notifier, shutdown, impatient, ...messages });
}
