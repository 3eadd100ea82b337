/** After which a shared clock is asked again, in ms: it may have been set. Who stores an end goes by a reading that is no older. */
export const MAX_AGE_MS = 10_000;

/** What the shared clock showed at some moment between two of our monotonic clock. */
interface Reading {
  readonly clockMs: number;
  readonly askedAtMs: number;
  readonly toldAtMs: number;
}

/**
 * The clock by which the ends of leases are stored: that of the database where several servers keep leases in it, else this machine's.
 * What lies between two looks at it is measured by the monotonic clock. A lease never ends early because the clock was asked from afar.
 */
export class EndClock {
  readonly #read: (() => Promise<number>) | undefined;
  #reading: Reading | undefined;
  #asking: Promise<void> | undefined;

  /** `read` asks the shared clock, in ms since the epoch; undefined: the clock of this machine counts. */
  constructor(read: (() => Promise<number>) | undefined) {
    this.#read = read;
  }

  /** Asks the shared clock, unless that was done just now. Before ends are stored or read. Rejects as `read` does. */
  async refresh(): Promise<void> {
    const read = this.#read;
    if (read === undefined || (this.#reading && performance.now() - this.#reading.toldAtMs < MAX_AGE_MS)) return;
    this.#asking ??= this.#ask(read).finally(() => (this.#asking = undefined));
    await this.#asking;
  }

  /** The stored form of an end `ms` from now, in ms since the epoch. */
  endIn(ms: number): number {
    const { clockMs, askedAtMs } = this.#known();
    return Math.ceil(clockMs + performance.now() - askedAtMs + ms);
  }

  /** How long it is until a stored end, in ms; 0 when that is over. */
  msUntil(endMs: number): number {
    const { clockMs, toldAtMs } = this.#known();
    return Math.max(0, endMs - clockMs - (performance.now() - toldAtMs));
  }

  async #ask(read: () => Promise<number>): Promise<void> {
    const askedAtMs = performance.now();
    const clockMs = await read();
    this.#reading = { clockMs, askedAtMs, toldAtMs: performance.now() };
  }

  #known(): Reading {
    if (this.#reading !== undefined) return this.#reading;
    const now = performance.now();
    return { clockMs: Date.now(), askedAtMs: now, toldAtMs: now };
  }
}
