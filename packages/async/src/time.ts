import { setTimeout as delay } from "node:timers/promises";
import { abortReason } from "./aborted.ts";

/** Node's timers take a longer time for none at all. 24 days and 20 hours. */
const TIMER_MAX_MS = 2 ** 31 - 1;

/** Waits `ms` milliseconds, or the longest time that timers know. Rejects with the reason of `signal` as soon as that aborts. */
export async function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted();
  try {
    await delay(Math.min(ms, TIMER_MAX_MS), undefined, signal === undefined ? {} : { signal });
  } catch (error) {
    throw signal?.aborted === true ? abortReason(signal) : error;
  }
}

/** What a {@link deadline} aborts with. */
export class DeadlineExceeded extends Error {
  override readonly name = "DeadlineExceeded";

  constructor(what: string, ms: number) {
    super(`${what} took longer than ${roundedSeconds(ms)} s`);
  }
}

/** What is left of a time limit is no round number. A timer takes 1 ms at least. */
function roundedSeconds(ms: number): number {
  const seconds = Math.max(1, ms) / 1000;
  return seconds < 10 ? Number(seconds.toPrecision(2)) : Math.round(seconds);
}

/** A signal that aborts with `parent`, or after `ms` milliseconds (or the longest time that timers know) with a {@link DeadlineExceeded} that says what took too long. */
export function deadline(ms: number, what: string, parent?: AbortSignal): AbortSignal & Disposable {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(new DeadlineExceeded(what, ms)), Math.min(ms, TIMER_MAX_MS));
  const onParent = () => {
    if (parent !== undefined) controller.abort(abortReason(parent));
  };
  const release = () => {
    clearTimeout(timer);
    parent?.removeEventListener("abort", onParent);
  };
  timer.unref();
  controller.signal.addEventListener("abort", release, { once: true });
  if (parent?.aborted === true) onParent();
  else parent?.addEventListener("abort", onParent, { once: true });
  return Object.assign(controller.signal, { [Symbol.dispose]: release });
}

/**
 * Runs `task` every `ms` milliseconds, the first time after one interval, never two at once.
 * Resolves when `signal` aborts; rejects with the first error of `task`.
 */
export async function repeat(
  ms: number,
  task: (signal: AbortSignal) => Promise<void> | void,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    try {
      await sleep(ms, signal);
    } catch {
      return;
    }
    await task(signal);
  }
}
