/** A call that its client gives a limited time. */
export interface TimedCall {
  /** The time is over. */
  expire(): void;
}

/**
 * Ends calls whose time is over, a little late: clients keep the time themselves, and one timer for all calls costs less
 * than one each.
 */
export class CallDeadlines {
  readonly #calls = new Map<TimedCall, number>();

  /** `now`: milliseconds of a monotonic clock, as in {@link sweep}. */
  add(call: TimedCall, now: number, timeoutMs: number): void {
    this.#calls.set(call, now + timeoutMs);
  }

  delete(call: TimedCall): void {
    this.#calls.delete(call);
  }

  /** Expires what is over. To be called from time to time. */
  sweep(now: number): void {
    for (const [call, deadline] of this.#calls) {
      if (deadline > now) continue;
      this.#calls.delete(call);
      call.expire();
    }
  }
}
