import { aborted, deadline } from "@k3s/async";
import { ComponentManager, type Component } from "@k3s/lifecycle";
import type { Logger } from "@k3s/log";
import type { Notifier } from "@k3s/process";

/** The only things a running node takes from the outside world; tests pass their own. */
export interface ServeHost {
  readonly log: Logger;
  readonly notifier: Pick<Notifier, "ready" | "stopping" | "status">;
  /** Aborts, with the reason, when the node is asked to end. */
  readonly shutdown: AbortSignal;
  /** Aborts when it is asked a second time. */
  readonly impatient: AbortSignal;
}

/** How long the components together may take to end gently. */
const STOP_GRACE_MS = 30_000;

/** Runs the components to their end. Resolves after a stop that was asked for, rejects with what made the node fail. */
export async function serve(components: readonly Component[], host: ServeHost): Promise<void> {
  const { log, notifier, shutdown, impatient } = host;
  const startedAt = performance.now();
  const manager = new ComponentManager(components, { onProgress: progressLog(host) });
  try {
    await manager.start(AbortSignal.any([shutdown, manager.lost]));
    log.info({ durationMs: elapsedMs(startedAt) }, "node is up");
    await notifier.ready();
    await notifier.status("Running");
    await aborted(AbortSignal.any([shutdown, manager.lost]));
    manager.lost.throwIfAborted();
  } catch (error) {
    // A start that was cut short by the shutdown is no failure; one that failed before it is.
    if (!shutdown.aborted || manager.lost.aborted) throw manager.lost.aborted ? manager.lost.reason : error;
  } finally {
    await notifier.stopping();
    using grace = deadline(STOP_GRACE_MS, "Stopping the node");
    await manager.stop(AbortSignal.any([impatient, grace]));
    log.info({}, "node has stopped");
  }
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
