import { sleep } from "./time.ts";

export interface RetryPolicy {
  /** Wait before the second attempt; doubles for each further one. */
  readonly delayMinMs: number;
  readonly delayMaxMs: number;
  /** Says whether another attempt can help. Default: always. */
  readonly isRetryable?: (error: unknown) => boolean;
  /** Told of each failure that will be followed by another attempt. */
  readonly onRetry?: (error: unknown, attempt: number) => void;
}

/** Repeats `task` until it succeeds, fails for good, or `signal` aborts (then rejects with the last failure). */
export async function retry<T>(
  task: (signal: AbortSignal) => Promise<T>,
  policy: RetryPolicy,
  signal: AbortSignal,
): Promise<T> {
  let delayMs = policy.delayMinMs;
  for (let attempt = 1; ; attempt++) {
    signal.throwIfAborted();
    try {
      return await task(signal);
    } catch (error) {
      if (signal.aborted || policy.isRetryable?.(error) === false) throw error;
      policy.onRetry?.(error, attempt);
      await sleep(delayMs, signal).catch(() => {
        throw error;
      });
      delayMs = Math.min(delayMs * 2, policy.delayMaxMs);
    }
  }
}
