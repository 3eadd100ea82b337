import type { SettledRow } from "./row-assembler.ts";

interface HistoryFloorOptions {
  /** Messages that the bucket keeps of each key; not above 0: all. */
  readonly history: number;
  /** Up to which rows were removed on purpose. */
  readonly compactRevision: number;
}

/**
 * Finds out where the bucket's history has dropped rows: for each key it keeps only so many, whether they are compacted or not. Takes the
 * rows of a whole load, oldest first.
 */
export class HistoryFloor {
  readonly #history: number;
  readonly #compactRevision: number;
  readonly #seen = new SequenceSet();
  /** By name, where kine wrote the oldest row that is left: it links a key that it creates again to nothing. */
  readonly #unlinked = new Map<string, { readonly first: number; count: number }>();
  #floor = 0;

  constructor({ history, compactRevision }: HistoryFloorOptions) {
    this.#history = history;
    this.#compactRevision = compactRevision;
  }

  /** The oldest revision at which no key lacks the row that was newest then; 0: every one. */
  get revision(): number {
    const full = [...this.#unlinked.values()].filter(({ count }) => this.#history > 0 && count >= this.#history);
    return full.reduce((floor, { first }) => Math.max(floor, first), this.#floor);
  }

  add(row: SettledRow): void {
    const { head, span, removes, isKines } = row;
    if (this.#isLost(row)) this.#floor = Math.max(this.#floor, span?.last ?? head.id);
    this.#seen.add(head.id);
    const first = head.created && head.prevRevision === 0 ? head.id : undefined;
    if (isKines) this.#count(removes === "" ? head.name : removes, first);
  }

  /** Whether the row before this one is missing that was not compacted: compactions remove tombstones, and without one there is no key just as well. */
  #isLost({ head, removes }: SettledRow): boolean {
    const { prevRevision: before } = head;
    if (before === 0) return head.deleted && head.name === removes && removes !== "";
    return !this.#seen.has(before) && !(head.created && before <= this.#compactRevision);
  }

  #count(name: string, first: number | undefined): void {
    const known = this.#unlinked.get(name);
    if (known !== undefined) known.count++;
    else if (first !== undefined) this.#unlinked.set(name, { first, count: 1 });
  }
}

const BITS = 8;
const FIRST_BYTES = 4096;

/** Rising numbers, one bit for each between the first and the last. */
class SequenceSet {
  #bits = new Uint8Array(FIRST_BYTES);
  #base: number | undefined;

  add(value: number): void {
    this.#base ??= value;
    const index = value - this.#base;
    const byte = Math.floor(index / BITS);
    if (byte >= this.#bits.length) {
      const grown = new Uint8Array(Math.max(byte + 1, this.#bits.length * 2));
      grown.set(this.#bits);
      this.#bits = grown;
    }
    this.#bits[byte] = (this.#bits[byte] ?? 0) | (1 << (index % BITS));
  }

  has(value: number): boolean {
    const index = value - (this.#base ?? Number.POSITIVE_INFINITY);
    return index >= 0 && ((this.#bits[Math.floor(index / BITS)] ?? 0) & (1 << (index % BITS))) !== 0;
  }
}
