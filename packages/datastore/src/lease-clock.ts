import { sleep } from "@k3s/async";

/** Longest wait of one timer; Node's limit is 2^31-1 ms. */
const MAX_WAIT_MS = 3_600_000;

interface ClockParts {
  /** Monotonic time of the next deadline; undefined: none. */
  readonly nextDeadlineMs: () => number | undefined;
  /** Ends what is due. Never rejects. */
  readonly onDue: () => Promise<void>;
  readonly signal: AbortSignal;
}

/** Sleeps until the next lease is due, and no longer when an earlier one is granted. */
export class LeaseClock {
  readonly #parts: ClockParts;
  #wake = new AbortController();
  #wakesAtMs = Number.POSITIVE_INFINITY;

  constructor(parts: ClockParts) {
    this.#parts = parts;
  }

  /** Tells of a new deadline. */
  notice(deadlineMs: number): void {
    if (deadlineMs < this.#wakesAtMs) this.#wake.abort();
  }

  /** Resolves when the signal aborts. */
  async run(): Promise<void> {
    const { nextDeadlineMs, onDue, signal } = this.#parts;
    while (!signal.aborted) {
      const next = nextDeadlineMs();
      this.#wakesAtMs = next ?? Number.POSITIVE_INFINITY;
      this.#wake = new AbortController();
      const waitMs = Math.min(Math.max(this.#wakesAtMs - performance.now(), 0), MAX_WAIT_MS);
      await sleep(waitMs, AbortSignal.any([signal, this.#wake.signal])).catch(() => undefined); // woken: look again
      if (!signal.aborted && performance.now() >= this.#wakesAtMs) await onDue();
    }
  }
}
