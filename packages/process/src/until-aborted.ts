import { abortReason } from "@k3s/async";

/** The outcome of `task`, or the reason of `signal` if that comes first; the task is then left to itself. */
export async function untilAborted<T>(task: Promise<T> | T, signal: AbortSignal): Promise<T> {
  const stopped = Promise.withResolvers<never>();
  const onAbort = () => stopped.reject(abortReason(signal));
  if (signal.aborted) onAbort();
  else signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([stopped.promise, task]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
