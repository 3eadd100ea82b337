import { describeError, NodeError } from "@k3s/errors";
import type { Logger } from "@k3s/log";

/** A wait that goes on is mentioned this often, so that the end of the log always tells what is missing. */
const REPEAT_MS = 60_000;

/** Says what is being waited for: each new reason at once, the same one again about once in a minute. */
export class WaitingLog {
  readonly #log: Logger;
  readonly #now: () => number;
  readonly #startedMs: number;
  #reason = "";
  #saidMs = 0;

  /** `now`: milliseconds on a clock that never goes back. */
  constructor(log: Logger, now = () => performance.now()) {
    this.#log = log;
    this.#now = now;
    this.#startedMs = now();
  }

  /** `what`: the message; a reason that was told less than a minute ago is there for who looks closely. */
  failed(what: string, error: unknown): void {
    const nowMs = this.#now();
    const reason = describeError(error);
    const hint = error instanceof NodeError ? error.hint : undefined;
    const isDue = reason !== this.#reason || nowMs - this.#saidMs >= REPEAT_MS;
    const waitedSeconds = Math.round((nowMs - this.#startedMs) / 1000);
    this.#log[isDue ? "warn" : "debug"]({ reason, hint, waitedSeconds }, what);
    if (!isDue) return;
    this.#reason = reason;
    this.#saidMs = nowMs;
  }
}
