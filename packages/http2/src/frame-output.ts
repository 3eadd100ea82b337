import { FRAME_HEAD_BYTES, FRAME_PAYLOAD_MAX, Flag, FrameType, writeFrameHead, type FrameHead } from "./frame.ts";

const SLAB_BYTES = 64 << 10;
/** Longer pieces are passed on as they are, shorter ones are copied behind each other. */
const COPY_BYTES_MAX = 4096;

/**
 * Puts frames together for one write. May serve many connections in turn: each begins after the other's finish().
 * Small frames share a slab of memory, so an answer costs no buffer of its own.
 */
export class FrameOutput {
  #slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
  #used = 0;
  /** Where in the slab the bytes begin that are not in #chunks yet. */
  #start = 0;
  #chunks: Uint8Array[] = [];
  #bytes = 0;
  /** Bound once, to be handed to the queues. */
  readonly copy = (bytes: Uint8Array): void => this.raw(bytes);

  /** Bytes since the last finish(). */
  get bytes(): number {
    return this.#bytes;
  }

  frameHead(head: FrameHead): void {
    this.#reserve(FRAME_HEAD_BYTES);
    this.#used = writeFrameHead(this.#slab, this.#used, head);
    this.#bytes += FRAME_HEAD_BYTES;
  }

  /** Bytes of a payload, or whole frames. */
  raw(bytes: Uint8Array): void {
    this.#bytes += bytes.length;
    if (bytes.length > COPY_BYTES_MAX) {
      this.#cut();
      this.#chunks.push(bytes);
      return;
    }
    this.#reserve(bytes.length);
    this.#slab.set(bytes, this.#used);
    this.#used += bytes.length;
  }

  /** A header block as HEADERS and, if it is too long for one frame, CONTINUATION. */
  headers(streamId: number, block: Buffer, endStream: boolean): void {
    const length = Math.min(block.length, FRAME_PAYLOAD_MAX);
    const isWhole = length === block.length;
    const flags = (endStream ? Flag.endStream : 0) | (isWhole ? Flag.endHeaders : 0);
    this.frameHead({ type: FrameType.headers, flags, streamId, length });
    this.raw(isWhole ? block : block.subarray(0, length));
    for (let at = length; at < block.length; at += FRAME_PAYLOAD_MAX) {
      const part = block.subarray(at, at + FRAME_PAYLOAD_MAX);
      const isLast = at + FRAME_PAYLOAD_MAX >= block.length;
      const type = FrameType.continuation;
      this.frameHead({ type, flags: isLast ? Flag.endHeaders : 0, streamId, length: part.length });
      this.raw(part);
    }
  }

  /** Everything since the last call, in order. */
  finish(): Uint8Array[] {
    this.#cut();
    const chunks = this.#chunks;
    this.#chunks = [];
    this.#bytes = 0;
    return chunks;
  }

  #reserve(count: number): void {
    if (this.#slab.length - this.#used >= count) return;
    this.#cut();
    this.#slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
    this.#used = 0;
    this.#start = 0;
  }

  #cut(): void {
    if (this.#used === this.#start) return;
    this.#chunks.push(this.#slab.subarray(this.#start, this.#used));
    this.#start = this.#used;
  }
}
