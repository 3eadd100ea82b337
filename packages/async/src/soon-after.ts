/** Waits for `task`, but no longer than `ms` milliseconds after `signal` aborts: then it rejects with what `late` makes. */
export async function soonAfter<T>(
  task: Promise<T>,
  { signal, ms, late }: { readonly signal: AbortSignal; readonly ms: number; readonly late: () => Error },
): Promise<T> {
  const tooLate = Promise.withResolvers<never>();
  let timer: NodeJS.Timeout | undefined;
  const onAbort = () => {
    timer = setTimeout(() => tooLate.reject(late()), ms);
  };
  if (signal.aborted) onAbort();
  else signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([task, tooLate.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
    clearTimeout(timer);
  }
}
