import { randomBytes } from "node:crypto";

const INT63_MASK = 2n ** 63n - 1n;

/** Numbers for the frames of this process, from a random one on; they mean nothing and may begin again at 0. */
export class FrameIds {
  #next = randomBytes(8).readBigUInt64LE() & INT63_MASK;

  take(): bigint {
    const id = this.#next;
    this.#next = (id + 1n) & INT63_MASK;
    return id;
  }
}
