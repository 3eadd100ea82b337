/** Frames on their way at once are few: beyond this, memory is left to the garbage collector. */
const KEPT_MAX = 32;

/** Memory for frames of one size, used again when a frame has left. Saves more time than copying costs: garbage of this size is dear. */
export class FramePool {
  readonly #bytes: number;
  readonly #free: Buffer[] = [];

  constructor(bytes: number) {
    this.#bytes = bytes;
  }

  take(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(this.#bytes);
  }

  /** The caller has no further use for `room`. */
  giveBack(room: Buffer): void {
    if (this.#free.length < KEPT_MAX) this.#free.push(room);
  }
}
