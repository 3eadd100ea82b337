import { aborted } from "./aborted.ts";
import { sleep } from "./time.ts";

/** Waits for `task`, but no longer than `ms` milliseconds after `signal` aborts: then it rejects with what `late` makes. */
export async function soonAfter<T>(
  task: Promise<T>,
  limit: { readonly signal: AbortSignal; readonly ms: number; readonly late: () => Error },
): Promise<T> {
  const over = new AbortController();
  const tooLate = async (): Promise<never> => {
    await aborted(AbortSignal.any([limit.signal, over.signal]));
    await sleep(limit.ms, over.signal);
    throw limit.late();
  };
  try {
    return await Promise.race([task, tooLate()]); // the loser's rejection is taken by the race
  } finally {
    over.abort();
  }
}
