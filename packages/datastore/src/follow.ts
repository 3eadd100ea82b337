import { aborted, sleep } from "@k3s/async";
import type { Logger } from "@k3s/log";

const RETRY_MS = 250;

interface FollowParts {
  /** Reads what others have written. Rejects where the database does not answer. */
  readonly fresh: () => Promise<void>;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** Reads on when it is told that others have written: that is told once, so what fails is tried until it works. */
export class Follow {
  readonly #parts: FollowParts;
  /** Something may have been written since the last reading that worked. */
  #isBehind = false;
  #trying: Promise<void> | undefined;

  constructor(parts: FollowParts) {
    this.#parts = parts;
  }

  /** Resolves when the first attempt is over; never rejects. */
  async told(): Promise<void> {
    const { fresh, log } = this.#parts;
    try {
      await fresh();
    } catch (error) {
      log.debug({ error }, "cannot follow the datastore, trying again");
      this.#isBehind = true;
      this.#trying ??= this.#tryOn().finally(() => (this.#trying = undefined));
    }
  }

  /** Resolves when nothing is tried any more, which the signal brings about at once. */
  async idle(): Promise<void> {
    await this.#trying;
  }

  async #tryOn(): Promise<void> {
    const { fresh, signal } = this.#parts;
    while (this.#isBehind && !signal.aborted) {
      await sleep(RETRY_MS, signal).catch(() => undefined);
      if (signal.aborted) return;
      this.#isBehind = false; // an attempt may have begun before the next word of a change
      const attempt = fresh().catch(() => (this.#isBehind = true));
      await Promise.race([attempt, aborted(signal)]);
    }
  }
}
