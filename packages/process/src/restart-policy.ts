import { sleep } from "@k3s/async";

/** How a program ended: by itself with a code, or by a signal. */
export interface ExitStatus {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** One run of a program, as far as a restart policy cares. */
export interface RunResult {
  /** An Error when there was no program to run: it could not be spawned, or its arguments could not be made. */
  readonly end: ExitStatus | Error;
  /** How long it was ready; 0 when it never was. */
  readonly readyMs: number;
}

/** Runs a program once, to its end. Whether to run it again is not its business. */
export type Run = (signal: AbortSignal) => Promise<RunResult>;

export interface RestartPolicy {
  /** Upper bound of the first wait; doubles with each further one. */
  readonly delayMinMs: number;
  readonly delayMaxMs: number;
  /** A run that was ready for this long counts as healthy: the wait after it is the first one again. */
  readonly healthyAfterMs: number;
  /** Spreads waits so that programs which fail together do not come back together. Never returns more than it is given. */
  readonly jitter: (delayMs: number) => number;
}

/** Back at once after a single crash, and at most two attempts a minute for a program that cannot run. */
export const defaultRestartPolicy: RestartPolicy = {
  delayMinMs: 250,
  delayMaxMs: 30_000,
  healthyAfterMs: 60_000,
  jitter: (delayMs) => delayMs * (0.5 + Math.random() / 2),
};

export interface RestartOptions {
  readonly policy: RestartPolicy;
  /** Told before each wait. */
  readonly onEnd: (result: RunResult, delayMs: number) => void;
  /** Replaced by tests. */
  readonly wait?: (ms: number, signal: AbortSignal) => Promise<void>;
}

/** Adds "run it again" to `run`. Resolves when `signal` aborts and the last run is over. */
export async function runForever(run: Run, options: RestartOptions, signal: AbortSignal): Promise<void> {
  const { policy, onEnd, wait = sleep } = options;
  let delayMs = policy.delayMinMs;
  while (!signal.aborted) {
    const result = await run(signal);
    if (signal.aborted) return;
    if (result.readyMs >= policy.healthyAfterMs) delayMs = policy.delayMinMs;
    const jitteredMs = Math.round(policy.jitter(delayMs));
    onEnd(result, jitteredMs);
    await wait(jitteredMs, signal).catch((error: unknown) => {
      if (!signal.aborted) throw error;
    });
    delayMs = Math.min(delayMs * 2, policy.delayMaxMs);
  }
}
