import { retry, WaitPace } from "@k3s/async";
import type { Logger } from "@k3s/log";

const RETRY_MIN_MS = 100;
const RETRY_MAX_MS = 2000;

/** What an operator is told of a failure. */
interface OpenError extends Error {
  readonly code: string;
  readonly hint: string | undefined;
}

interface Waiting {
  /** For people. */
  readonly server: string;
  readonly explain: (error: unknown) => OpenError;
  /** Codes of what may pass; everything else ends the wait. */
  readonly passing: ReadonlySet<string>;
  readonly log: Logger;
  /** Ends the wait. */
  readonly signal: AbortSignal;
}

/**
 * Tries to open until it works, and tells the log when that takes long. Rejects with what `explain` makes of the failure; where the wait
 * was ended, of that of the last try which could go on to its end: the one that was cut short knows nothing.
 */
export async function openPatiently<T>(open: (signal: AbortSignal) => Promise<T>, waiting: Waiting): Promise<T> {
  const { server, explain, passing, log, signal } = waiting;
  const pace = new WaitPace(performance.now());
  let last: OpenError | undefined;
  const policy = {
    delayMinMs: RETRY_MIN_MS,
    delayMaxMs: RETRY_MAX_MS,
    isRetryable: (error: unknown) => passing.has(explain(error).code),
    onRetry: (error: unknown, attempt: number) => {
      last = explain(error);
      const now = performance.now();
      if (!pace.isDue(now, { attempt, code: last.code })) return;
      const durationMs = Math.round(pace.waitedMs(now));
      log.warn({ server, durationMs, error, hint: last.hint }, "waiting for the database");
    },
  };
  return retry(open, policy, signal).catch((error: unknown) => {
    const told = explain(error);
    throw signal.aborted && passing.has(told.code) ? (last ?? told) : told;
  });
}
