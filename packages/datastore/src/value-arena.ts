/** What an entry costs besides its bytes: its place in the map, and its length in front of it. */
export const ENTRY_BYTES = 64;
const LENGTH_BYTES = 4;

/**
 * Values by row id, one behind the other in one piece of memory. As Buffers of their own they would take a quarter more, and those that were
 * dropped would lie about, between others, until the next garbage collection.
 */
export class ValueArena {
  readonly #limitBytes: number;
  readonly #places = new Map<number, number>();
  /** Of the limit's size: what was never written takes no memory. */
  #bytes: Buffer<ArrayBuffer> | undefined;
  #end = 0;
  #usedBytes = 0;
  #liveBytes = 0;

  constructor(limitBytes: number) {
    this.#limitBytes = Math.floor(limitBytes);
  }

  /** Of what was put, the share that was not deleted since; with the entries. */
  get liveBytes(): number {
    return this.#liveBytes;
  }

  /** What it takes of the limit. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Whether a value of so many bytes could be put into an empty one. */
  couldHold(bytes: number): boolean {
    return bytes + ENTRY_BYTES <= this.#limitBytes;
  }

  /** A copy: the memory is used again. */
  get(row: number): Buffer | undefined {
    const at = this.#places.get(row);
    if (at === undefined || this.#bytes === undefined) return undefined;
    const start = at + LENGTH_BYTES;
    return Buffer.from(this.#bytes.subarray(start, start + this.#bytes.readUInt32LE(at)));
  }

  /** Keeps a copy; false: there is no room left. The row must not be there. */
  put(row: number, value: Buffer): boolean {
    const cost = value.length + ENTRY_BYTES;
    if (this.#usedBytes + cost > this.#limitBytes) return false;
    this.#bytes ??= Buffer.allocUnsafeSlow(this.#limitBytes);
    this.#places.set(row, this.#end);
    this.#bytes.writeUInt32LE(value.length, this.#end);
    value.copy(this.#bytes, this.#end + LENGTH_BYTES);
    this.#end += LENGTH_BYTES + value.length;
    this.#usedBytes += cost;
    this.#liveBytes += cost;
    return true;
  }

  delete(row: number): void {
    const at = this.#places.get(row);
    if (at === undefined || this.#bytes === undefined) return;
    this.#places.delete(row);
    this.#liveBytes -= this.#bytes.readUInt32LE(at) + ENTRY_BYTES;
  }

  /** Forgets everything; the memory stays for what is put next. */
  clear(): void {
    this.#places.clear();
    this.#end = 0;
    this.#usedBytes = 0;
    this.#liveBytes = 0;
  }

  /** Forgets everything and gives the memory back at once. */
  release(): void {
    this.clear();
    this.#bytes?.buffer.transfer(0);
    this.#bytes = undefined;
  }

  *entries(): Generator<readonly [row: number, value: Buffer], void> {
    for (const row of this.#places.keys()) {
      const value = this.get(row);
      if (value !== undefined) yield [row, value];
    }
  }
}
