import { deadline, sleep } from "@k3s/async";
import { describeError } from "@k3s/errors";

/**
 * Asks `check` until it gives something other than undefined or false, and returns that. For states of programs that tell nobody when they change.
 * After `limitMs` it rejects with what was waited for, and with the last error of `check` as the cause.
 */
export async function until<T>(
  what: string,
  check: () => Promise<T | undefined | false>,
  limitMs = 60_000,
): Promise<T> {
  using limit = deadline(limitMs, `Waiting until ${what}`);
  let lastError: unknown;
  for (let delayMs = 50; ; delayMs = Math.min(delayMs * 1.5, 1_000)) {
    try {
      const value = await check();
      if (value !== undefined && value !== false) return value;
    } catch (error) {
      lastError = error;
    }
    await sleep(delayMs, limit).catch((error: unknown) => {
      const last = lastError === undefined ? "" : `; at last: ${describeError(lastError)}`;
      throw new Error(`${describeError(error)}${last}`, { cause: lastError });
    });
  }
}
