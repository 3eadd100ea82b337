export interface Rate {
  /** Taken at once at most. */
  readonly burst: number;
  /** Come back per second. */
  readonly perSecond: number;
}

/** Bounds how often something happens. */
export class TokenBucket {
  readonly #rate: Rate;
  #tokens: number;
  #refilledAt: number;

  /** `now`: milliseconds of a monotonic clock, here and in {@link take}. */
  constructor(rate: Rate, now: number) {
    this.#rate = rate;
    this.#tokens = rate.burst;
    this.#refilledAt = now;
  }

  /** False when it happens too often. The clock is asked only when the bucket is empty. */
  take(clock: () => number): boolean {
    if (this.#tokens < 1) this.#refill(clock());
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }

  #refill(now: number): void {
    const { burst, perSecond } = this.#rate;
    this.#tokens = Math.min(burst, this.#tokens + ((now - this.#refilledAt) / 1000) * perSecond);
    this.#refilledAt = now;
  }
}
