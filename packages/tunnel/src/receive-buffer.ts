/** Smaller chunks are copied together: kept as they came, each could hold the whole block it was read with. */
const KEPT_MIN_BYTES = 16 * 1024;
const BLOCK_BYTES = 64 * 1024;

/** Bytes that have arrived and that nobody has read, at a cost of memory close to their number. */
export class ReceiveBuffer {
  #chunks: Buffer[] = [];
  #first = 0;
  #length = 0;
  /** The unused rest of the last chunk's block; empty when that chunk is not ours to extend. */
  #room = Buffer.alloc(0);

  /** Bytes held. */
  get length(): number {
    return this.#length;
  }

  append(chunk: Buffer): void {
    this.#length += chunk.length;
    if (chunk.length >= KEPT_MIN_BYTES) {
      this.#chunks.push(chunk);
      this.#room = Buffer.alloc(0);
    } else if (!this.#extend(chunk)) this.#begin(chunk);
  }

  /** The oldest bytes, or undefined when there are none. */
  shift(): Buffer | undefined {
    const chunk = this.#chunks[this.#first];
    if (chunk === undefined) return undefined;
    this.#first++;
    this.#length -= chunk.length;
    if (this.#first === this.#chunks.length) this.clear();
    else if (this.#first >= 64) {
      this.#chunks = this.#chunks.slice(this.#first);
      this.#first = 0;
    }
    return chunk;
  }

  clear(): void {
    this.#chunks = [];
    this.#first = 0;
    this.#length = 0;
    this.#room = Buffer.alloc(0);
  }

  #extend(chunk: Buffer): boolean {
    const last = this.#chunks.at(-1);
    if (last === undefined || this.#room.length < chunk.length) return false;
    this.#room.set(chunk);
    // Sound: last and room are neighbours in one block that begin() made.
    this.#chunks[this.#chunks.length - 1] = Buffer.from(last.buffer, last.byteOffset, last.length + chunk.length);
    this.#room = this.#room.subarray(chunk.length);
    return true;
  }

  #begin(chunk: Buffer): void {
    const block = Buffer.allocUnsafeSlow(BLOCK_BYTES);
    block.set(chunk);
    this.#chunks.push(block.subarray(0, chunk.length));
    this.#room = block.subarray(chunk.length);
  }
}
