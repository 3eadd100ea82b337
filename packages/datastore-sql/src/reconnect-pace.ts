const DELAY_MIN_MS = 20;
/** Longest wait between two attempts: a database that is back is noticed after at most this time. */
const DELAY_MAX_MS = 500;

/** When to try again after failures: soon after the first, then at growing distances. Times are ms of a monotonic clock. */
export class ReconnectPace {
  readonly #maxMs: number;
  #failures = 0;
  #failedAt = 0;

  /** `maxMs`: the longest wait. */
  constructor(maxMs = DELAY_MAX_MS) {
    this.#maxMs = maxMs;
  }

  /** How long to wait before the next attempt; 0 or less: not at all. */
  restMs(now: number): number {
    if (this.#failures === 0) return 0;
    return this.#failedAt + Math.min(DELAY_MIN_MS * 2 ** this.#failures, this.#maxMs) - now;
  }

  failed(now: number): void {
    this.#failures = Math.min(this.#failures + 1, 10);
    this.#failedAt = now;
  }

  worked(): void {
    this.#failures = 0;
  }
}
