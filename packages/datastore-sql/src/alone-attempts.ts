import type { Logger } from "@k3s/log";

/** Somebody has the table for long, who would make all others wait with us each time. */
const AGAIN_MS = 30_000;

interface AloneAttemptsParts {
  /** `later`: somebody has the table. `never`: this user may not take it, or this server has no such thing. undefined: anything else. */
  readonly meaning: (error: unknown) => "later" | "never" | undefined;
  readonly log: Logger;
}

/** Tries to keep everybody back, and not again soon where that did not work. */
export class AloneAttempts {
  readonly #parts: AloneAttemptsParts;
  #notBefore = 0;

  constructor(parts: AloneAttemptsParts) {
    this.#parts = parts;
  }

  /** Whether it worked. Rejects with errors that have nothing to do with it. */
  async attempt(lock: () => Promise<void>): Promise<boolean> {
    if (performance.now() < this.#notBefore) return false;
    try {
      await lock();
      return true;
    } catch (error) {
      const meaning = this.#parts.meaning(error);
      if (meaning === undefined) throw error;
      this.#notBefore = meaning === "later" ? performance.now() + AGAIN_MS : Infinity;
      this.#parts.log.debug({ error }, "cannot keep programs back that know of no claims");
      return false;
    }
  }
}
