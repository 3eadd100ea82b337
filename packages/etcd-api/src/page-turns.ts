import { RpcError } from "./rpc-error.ts";
import type { UnaryScope } from "./method.ts";

/** Under way at a time: enough to keep the database busy. */
const AT_ONCE_MAX = 4;
/** Keys of the answers that one turn of the event loop begins with: milliseconds of work, all in all. */
const TURN_KEYS = 1000;

interface Waiting {
  readonly keys: number;
  readonly begin: () => void;
}

/**
 * Lets answers of hundreds of keys take turns. Each is a few milliseconds of reading and encoding, and clients that ask all at
 * once would otherwise hold up everybody else for as long as all of their answers take.
 */
export class PageTurns {
  readonly #waiting: Waiting[] = [];
  #running = 0;
  /** In this turn of the event loop. */
  #begunKeys = 0;

  /** Runs `work`, which reads so many keys at most, in its turn. Rejects without running it when nobody waits for the answer any more. */
  async run<T>(keys: number, call: UnaryScope, work: () => Promise<T>): Promise<T> {
    await new Promise<void>((begin) => {
      this.#waiting.push({ keys, begin });
      this.#beginNext();
    });
    try {
      if (call.isOver) throw RpcError.abandoned();
      return await work();
    } finally {
      this.#running--;
      this.#beginNext();
    }
  }

  #beginNext(): void {
    while (this.#running < AT_ONCE_MAX && this.#begunKeys < TURN_KEYS) {
      const next = this.#waiting.shift();
      if (next === undefined) return;
      if (this.#begunKeys === 0) setImmediate(() => this.#nextTurn());
      this.#begunKeys += next.keys;
      this.#running++;
      next.begin();
    }
  }

  #nextTurn(): void {
    this.#begunKeys = 0;
    this.#beginNext();
  }
}
