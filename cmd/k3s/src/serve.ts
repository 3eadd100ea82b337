import { aborted, deadline, repeat, soonAfter } from "@k3s/async";
import { ComponentManager, type Component } from "@k3s/lifecycle";
import type { Logger } from "@k3s/log";
import type { Notifier } from "@k3s/process";
import { StopError } from "./errors.ts";

/** The only things a running node takes from the outside world; tests pass their own. */
export interface ServeHost {
  readonly log: Logger;
  readonly notifier: Pick<Notifier, "ready" | "stopping" | "status" | "keepAlive">;
  /** Aborts, with the reason, when the node is asked to end. */
  readonly shutdown: AbortSignal;
  /** Aborts when it is asked a second time. */
  readonly impatient: AbortSignal;
  /** What the log says once everything has started. */
  readonly upMessage: string;
  /** What it says once everything has stopped. */
  readonly downMessage: string;
}

/** How long the components together may take to end gently. */
const STOP_GRACE_MS = 30_000;
/** How long they may take by force after that. The kernel ends their programs with us. */
const FORCE_LIMIT_MS = 5000;
/** How often the service manager is told which part is being started. */
const STATUS_INTERVAL_MS = 1000;

/** Runs the components to their end. Resolves after a stop that was asked for, rejects with what made the node fail. */
export async function serve(components: readonly Component[], host: ServeHost): Promise<void> {
  const manager = new ComponentManager(components, { onProgress: progressLog(host) });
  const failure = await run(manager, host);
  try {
    await stop(manager, host);
  } catch (error) {
    if (failure === undefined) throw error;
    host.log.warn({ error }, "cannot stop every component"); // what made the node fail is thrown below
  }
  if (failure !== undefined) throw failure.error;
}

/** Starts and waits. The failure that ended it, or undefined when it was asked to end, be it during the start. */
async function run(manager: ComponentManager, host: ServeHost): Promise<{ readonly error: unknown } | undefined> {
  const { log, notifier, shutdown } = host;
  const ended = AbortSignal.any([shutdown, manager.lost]);
  const startedAt = performance.now();
  try {
    await startShown(manager, notifier, ended);
    log.info({ durationMs: elapsedMs(startedAt) }, host.upMessage);
    await notifier.ready();
    await notifier.status("Running");
    // Never rejects, and ends with us.
    void notifier.keepAlive((signal) => manager.checkHealth(signal), ended);
    await aborted(ended);
  } catch (error) {
    if (!ended.aborted) return { error };
  }
  return manager.lost.aborted ? { error: manager.lost.reason } : undefined;
}

/** Starts; meanwhile the service manager shows what is waited for, down to the member of a group. */
async function startShown(
  manager: ComponentManager,
  notifier: ServeHost["notifier"],
  ended: AbortSignal,
): Promise<void> {
  const started = new AbortController();
  let shown = "";
  const show = async () => {
    const names = manager.starting().join(", ");
    if (names !== "" && names !== shown) await notifier.status(`Starting ${names}`); // never rejects
    shown = names;
  };
  const showing = repeat(STATUS_INTERVAL_MS, show, started.signal);
  try {
    await manager.start(ended);
  } finally {
    started.abort();
    await showing;
  }
}

async function stop(manager: ComponentManager, { log, notifier, impatient, downMessage }: ServeHost): Promise<void> {
  await notifier.stopping();
  using grace = deadline(STOP_GRACE_MS, "Stopping the node");
  const hurry = AbortSignal.any([impatient, grace]);
  const late = () => StopError.stuck(manager.stopping());
  await soonAfter(manager.stop(hurry), { signal: hurry, ms: FORCE_LIMIT_MS, late });
  log.info({}, downMessage);
}

/** One line per step, with the time it took; the service manager shows the step that is under way. */
function progressLog({ log, notifier }: ServeHost) {
  const begun = new Map<string, number>();
  return (component: string, state: "starting" | "started" | "stopping"): void => {
    if (state === "started") {
      log.info({ component, durationMs: elapsedMs(begun.get(component) ?? performance.now()) }, "started");
      return;
    }
    begun.set(component, performance.now());
    log.info({ component }, state);
    void notifier.status(`${state === "starting" ? "Starting" : "Stopping"} ${component}`); // never rejects
  };
}

function elapsedMs(since: number): number {
  return Math.round(performance.now() - since);
}
