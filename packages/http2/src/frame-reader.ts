import { ConnectionError, ErrorCode } from "./error-code.ts";
import { FRAME_HEAD_BYTES, FRAME_PAYLOAD_MAX, type FrameHead } from "./frame.ts";

const NOTHING = Buffer.alloc(0);

/**
 * Cuts chunks of any size into frames. After `feed(chunk)` call `next()` until it is false; the fields describe the
 * frame it found. Synchronous; holds at most one incomplete frame.
 */
export class FrameReader implements FrameHead {
  type = 0;
  flags = 0;
  streamId = 0;
  length = 0;
  /** The payload is `bytes` from `start` to `end`, valid as long as anybody refers to it. */
  bytes: Buffer = NOTHING;
  start = 0;
  end = 0;

  #chunk: Buffer = NOTHING;
  #position = 0;
  /** Head, or head and payload, of a frame that goes on in the next chunk. */
  #partial: Buffer = NOTHING;
  #filled = 0;

  /** Everything before has been taken by next(). */
  feed(chunk: Buffer): void {
    this.#chunk = chunk;
    this.#position = 0;
  }

  /** Throws ConnectionError for a frame larger than we announced to take. */
  next(): boolean {
    if (this.#filled > 0) return this.#resume();
    const left = this.#chunk.length - this.#position;
    if (left < FRAME_HEAD_BYTES) {
      if (left > 0) this.#keep(FRAME_HEAD_BYTES);
      return false;
    }
    this.#readHead(this.#chunk, this.#position);
    const size = FRAME_HEAD_BYTES + this.length;
    if (left < size) {
      this.#keep(size);
      return false;
    }
    this.#found(this.#chunk, this.#position);
    this.#position += size;
    return true;
  }

  /** The frame that was found, as one view. */
  payload(): Buffer {
    return this.bytes.subarray(this.start, this.end);
  }

  #resume(): boolean {
    if (this.#filled < FRAME_HEAD_BYTES) {
      if (!this.#fill(FRAME_HEAD_BYTES)) return false;
      this.#readHead(this.#partial, 0);
      const head = this.#partial;
      this.#partial = Buffer.allocUnsafe(FRAME_HEAD_BYTES + this.length);
      head.copy(this.#partial, 0, 0, FRAME_HEAD_BYTES);
    }
    if (!this.#fill(this.#partial.length)) return false;
    this.#found(this.#partial, 0);
    this.#partial = NOTHING;
    this.#filled = 0;
    return true;
  }

  /** Begins a partial frame of `size` bytes with what is left of the chunk. */
  #keep(size: number): void {
    this.#partial = Buffer.allocUnsafe(size);
    this.#fill(size);
  }

  /** Whether the partial frame now has `size` bytes. */
  #fill(size: number): boolean {
    const count = Math.min(size - this.#filled, this.#chunk.length - this.#position);
    this.#chunk.copy(this.#partial, this.#filled, this.#position, this.#position + count);
    this.#filled += count;
    this.#position += count;
    return this.#filled === size;
  }

  #readHead(bytes: Buffer, at: number): void {
    this.length = bytes.readUIntBE(at, 3);
    if (this.length > FRAME_PAYLOAD_MAX)
      throw new ConnectionError(ErrorCode.frameSizeError, `Frame of ${this.length} bytes`);
    this.type = bytes.readUInt8(at + 3);
    this.flags = bytes.readUInt8(at + 4);
    this.streamId = bytes.readUInt32BE(at + 5) & 0x7fff_ffff;
  }

  #found(bytes: Buffer, at: number): void {
    this.bytes = bytes;
    this.start = at + FRAME_HEAD_BYTES;
    this.end = this.start + this.length;
  }
}
