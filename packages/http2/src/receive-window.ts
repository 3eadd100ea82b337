/** What a peer may still send, for one stream or the whole connection. */
export class ReceiveWindow {
  readonly #limit: number;
  #available: number;
  #credited = 0;

  /** `limit`: bytes the peer may send ahead. `available`: what it knows of now. */
  constructor(limit: number, available = limit) {
    this.#limit = limit;
    this.#available = available;
  }

  /** Bytes that came in; false when they are more than allowed. */
  take(bytes: number): boolean {
    this.#available -= bytes;
    return this.#available >= 0;
  }

  /** Bytes that need no room any more. Returns what to tell the peer: mostly 0, as updates are put together. */
  credit(bytes: number): number {
    this.#credited += bytes;
    if (this.#credited * 2 < this.#limit) return 0;
    const increment = this.#credited;
    this.#credited = 0;
    this.#available += increment;
    return increment;
  }
}
