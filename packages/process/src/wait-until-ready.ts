import { deadline, retry } from "@k3s/async";
import { untilAborted } from "./until-aborted.ts";

/** Rejects, with what is missing, while the program cannot be used yet. */
export type ReadinessProbe = (signal: AbortSignal) => Promise<void>;

export interface WaitOptions {
  /** Told of each failed attempt. */
  readonly onNotReady: (error: unknown) => void;
}

/** Starts take a fraction of a second to several seconds: ask often at first, then rarely enough to cost nothing. */
const POLL = { delayMinMs: 50, delayMaxMs: 500 } as const;
/** A program that takes a connection and never answers must not hold up the probe for ever. */
const ATTEMPT_MS = 10_000;

/** Asks until the probe succeeds. Rejects with its last failure when `signal` aborts. */
export async function waitUntilReady(probe: ReadinessProbe, options: WaitOptions, signal: AbortSignal): Promise<void> {
  const attempt = async () => {
    using limit = deadline(ATTEMPT_MS, "the readiness check", signal);
    await untilAborted(probe(limit), limit);
  };
  await retry(attempt, { ...POLL, onRetry: options.onNotReady }, signal);
}
