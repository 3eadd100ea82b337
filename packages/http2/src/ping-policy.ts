/** How often a peer may ping; the meaning of gRPC's keepalive enforcement. */
export interface PingPolicy {
  /** Between two pings while streams are open. */
  readonly intervalMinMs: number;
  /** Between two pings while there is no stream. */
  readonly idleIntervalMinMs: number;
  /** So many pings that come too early are forgiven. */
  readonly strikesMax: number;
}

/** Counts the pings of one connection that come too early. */
export class PingPolice {
  readonly #policy: PingPolicy;
  #strikes = 0;
  #isForgiven = false;
  #lastPingAt = -Infinity;

  constructor(policy: PingPolicy) {
    this.#policy = policy;
  }

  /** The peer was sent an answer: its next ping is welcome, as clients use it to measure their bandwidth. */
  forgive(): void {
    this.#isForgiven = true;
  }

  /** Whether a ping that comes at `now` is acceptable. */
  accepts(now: number, isIdle: boolean): boolean {
    const sinceLastMs = now - this.#lastPingAt;
    this.#lastPingAt = now;
    if (this.#isForgiven) {
      this.#isForgiven = false;
      this.#strikes = 0;
      return true;
    }
    const { intervalMinMs, idleIntervalMinMs, strikesMax } = this.#policy;
    if (sinceLastMs < (isIdle ? idleIntervalMinMs : intervalMinMs)) this.#strikes++;
    return this.#strikes <= strikesMax;
  }
}
