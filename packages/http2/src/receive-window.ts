import { FRAME_PAYLOAD_MAX } from "./frame.ts";

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

  /**
   * Bytes that need no room any more. Returns what to tell the peer: mostly 0, as updates are put together. A peer that can hardly send
   * is told all there is: it may be in the middle of something that is credited only as a whole.
   */
  credit(bytes: number): number {
    this.#credited += bytes;
    if (this.#credited * 2 < this.#limit && this.#available >= FRAME_PAYLOAD_MAX) return 0;
    const increment = this.#credited;
    this.#credited = 0;
    this.#available += increment;
    return increment;
  }
}
