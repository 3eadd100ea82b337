/** In front of each value: its row id (8 bytes), its length (4), its state (1). */
const HEAD_BYTES = 16;
const LENGTH_AT = 8;
const STATE_AT = 12;
/** Entries begin at multiples of it, so that heads are read and written as whole numbers. */
const ALIGN_BYTES = 8;

const FRESH = 0;
const USED = 1;
const GONE = 2;

/** What a value of so many bytes takes of a segment. */
export function entryBytes(valueBytes: number): number {
  return HEAD_BYTES + Math.ceil(valueBytes / ALIGN_BYTES) * ALIGN_BYTES;
}

/** Values one behind the other in one piece of memory, each behind a head that says whose it is. Entries are named by where they begin. */
export class ValueSegment {
  /** The number that its owner finds it by. */
  readonly slot: number;
  readonly capacityBytes: number;
  readonly #memory: ArrayBuffer;
  readonly #bytes: Buffer<ArrayBuffer>;
  readonly #rows: Float64Array;
  readonly #lengths: Uint32Array;
  #end = 0;
  #liveBytes = 0;

  /** What was never written takes no memory. `capacityBytes` is a multiple of 8. */
  constructor(slot: number, capacityBytes: number) {
    this.slot = slot;
    this.capacityBytes = capacityBytes;
    // Resizable, so that these are pages of their own, which `release()` gives back to the system. Pieces of malloc(), which other buffers
    // of this size are, stay with the process, between others, once a few were freed.
    const memory = new ArrayBuffer(capacityBytes, { maxByteLength: capacityBytes });
    this.#memory = memory;
    this.#bytes = Buffer.from(memory, 0, capacityBytes);
    this.#rows = new Float64Array(memory, 0, capacityBytes / 8);
    this.#lengths = new Uint32Array(memory, 0, capacityBytes / 4);
  }

  /** Entries that were not removed, with their heads. */
  get liveBytes(): number {
    return this.#liveBytes;
  }

  /** Whether an entry of so many bytes has room behind the last one. */
  fits(bytes: number): boolean {
    return this.#end + bytes <= this.capacityBytes;
  }

  /** Adds a copy of the value, which must fit. */
  append(row: number, value: Buffer): number {
    const at = this.#end;
    this.#rows[at / ALIGN_BYTES] = row;
    this.#lengths[(at + LENGTH_AT) / 4] = value.length;
    this.#bytes[at + STATE_AT] = FRESH;
    value.copy(this.#bytes, at + HEAD_BYTES);
    this.#grow(entryBytes(value.length));
    return at;
  }

  /** A copy of the value, which counts as used from now on. */
  read(at: number): Buffer {
    if (this.#bytes[at + STATE_AT] !== USED) this.#bytes[at + STATE_AT] = USED;
    return Buffer.from(new Uint8Array(this.#memory, at + HEAD_BYTES, this.#lengthAt(at)));
  }

  remove(at: number): void {
    this.#bytes[at + STATE_AT] = GONE;
    this.#liveBytes -= this.bytesAt(at);
  }

  rowAt(at: number): number {
    return this.#rows[at / ALIGN_BYTES] ?? 0;
  }

  /** The bytes of the entry: the next one begins behind them. */
  bytesAt(at: number): number {
    return entryBytes(this.#lengthAt(at));
  }

  isGone(at: number): boolean {
    return this.#bytes[at + STATE_AT] === GONE;
  }

  /** Whether it was read since it was written or last asked about. */
  takeMark(at: number): boolean {
    const isUsed = this.#bytes[at + STATE_AT] === USED;
    if (isUsed) this.#bytes[at + STATE_AT] = FRESH;
    return isUsed;
  }

  /** Begins at the front again and answers where the last entry ended: up to there they can still be looked at, unless others came. */
  rewind(): number {
    const end = this.#end;
    this.#end = 0;
    this.#liveBytes = 0;
    return end;
  }

  /** Adds an entry of another segment as it is, or one of its own from before {@link rewind}, which moves to the front. It must fit. */
  take(source: ValueSegment, from: number): number {
    const at = this.#end;
    const bytes = source.bytesAt(from);
    if (source !== this || from !== at) source.#bytes.copy(this.#bytes, at, from, from + bytes);
    this.#grow(bytes);
    return at;
  }

  /** Gives the memory back without waiting for a garbage collection. Nothing may be asked of it afterwards. */
  release(): void {
    this.#memory.resize(0);
  }

  #lengthAt(at: number): number {
    return this.#lengths[(at + LENGTH_AT) / 4] ?? 0;
  }

  #grow(bytes: number): void {
    this.#end += bytes;
    this.#liveBytes += bytes;
  }
}
