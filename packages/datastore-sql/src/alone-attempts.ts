import type { Logger } from "@k3s/log";

/**
 * How long a table is waited for at most, where the database counts so finely: all others queue up behind us. Shorter than it takes
 * PostgreSQL to end a vacuum for whoever waits for it: one second.
 */
export const TABLE_WAIT_MS = 250;
/** Somebody has the table for long, who would make all others wait with us each time: for a thirtieth of their time, with MySQL's second. */
const AGAIN_MS = 30_000;

interface AloneAttemptsParts {
  /** `later`: somebody has the table. `never`: this user may not take it, or this server has no such thing. undefined: anything else. */
  readonly meaning: (error: unknown) => "later" | "never" | undefined;
  readonly log: Logger;
  /** In ms. Default: the monotonic clock. */
  readonly now?: () => number;
}

/** Tries to keep everybody back, and not again soon where that did not work. */
export class AloneAttempts {
  readonly #parts: AloneAttemptsParts;
  readonly #now: () => number;
  #notBefore = Number.NEGATIVE_INFINITY;

  constructor(parts: AloneAttemptsParts) {
    this.#parts = parts;
    this.#now = parts.now ?? (() => performance.now());
  }

  /** Whether an {@link attempt} would be made now. */
  get isDue(): boolean {
    return this.#now() >= this.#notBefore;
  }

  /**
   * Whether it worked. Rejects with errors that have nothing to do with it. `lock` takes the table and nothing else: what it waits for
   * has to be in the hands of programs that know of no claims.
   */
  async attempt(lock: () => Promise<void>): Promise<boolean> {
    if (!this.isDue) return false;
    try {
      await lock();
      return true;
    } catch (error) {
      const meaning = this.#parts.meaning(error);
      if (meaning === undefined) throw error;
      this.#notBefore = meaning === "later" ? this.#now() + AGAIN_MS : Infinity;
      this.#parts.log.debug({ error }, "cannot keep programs back that know of no claims");
      return false;
    }
  }
}
