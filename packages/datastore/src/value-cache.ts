import type { Driver } from "./driver.ts";
import { COMPACT_KEY, unpackCompactValue } from "./names.ts";
import { ValueReads } from "./value-reads.ts";
import type { Version } from "./version.ts";

export const NO_VALUE: Buffer = Buffer.alloc(0);

/** What an entry costs besides its bytes: map entry, Buffer and ArrayBuffer objects. */
const ENTRY_BYTES = 250;
const READ_ROWS = 256;
/** Reads of so many rows under way at a time: what a database is asked, it holds in memory until the answer is taken. */
const READS_AT_ONCE = 4;
/** Larger reads are lists of everything, which would only drive out what is in use. */
const KEPT_ROWS = 64;

/**
 * Values by row id: the recently used up to a limit in memory, the others read through the driver.
 *
 * Two generations instead of an order of use: what is used moves to the young one; when that has half of the limit it
 * becomes the old one, and what is left of the old one goes at once. So neither a hit nor an eviction searches anything.
 */
export class ValueCache {
  readonly #reads: ValueReads;
  readonly #halfBytes: number;
  readonly #onMissing: (version: Version) => void;
  #young = new Map<number, Buffer>();
  #old = new Map<number, Buffer>();
  #youngBytes = 0;

  /** `onMissing` is told of every row that the database does not have any more. */
  constructor(driver: Pick<Driver, "values">, limitBytes: number, onMissing: (version: Version) => void) {
    this.#reads = new ValueReads(driver);
    this.#halfBytes = limitBytes / 2;
    this.#onMissing = onMissing;
  }

  /** The value when it is in memory. */
  peek(version: Version): Buffer | undefined {
    if (version.deleted) return NO_VALUE;
    if (version.value !== undefined) return version.value;
    const young = this.#young.get(version.row);
    if (young !== undefined) return young;
    const old = this.#old.get(version.row);
    if (old === undefined) return undefined;
    this.#old.delete(version.row);
    this.#keep(version.row, old);
    return old;
  }

  set(row: number, value: Buffer): void {
    this.#forget(row);
    this.#keep(row, detached(value));
  }

  /** Drops rows that a compaction removed. */
  forget(rows: readonly number[]): void {
    for (const row of rows) this.#forget(row);
  }

  /** All values by row id; rows that are gone from the database are missing in the answer. */
  async load(versions: readonly Version[]): Promise<Map<number, Buffer>> {
    const found = new Map<number, Buffer>();
    const missing: Version[] = [];
    for (const version of versions) {
      const value = this.peek(version);
      if (value === undefined) missing.push(version);
      else found.set(version.row, value);
    }
    let start = 0;
    const readOn = async () => {
      while (start < missing.length) {
        const part = missing.slice(start, (start += READ_ROWS));
        await this.#read(part, found, missing.length <= KEPT_ROWS);
      }
    };
    await Promise.all(Array.from({ length: READS_AT_ONCE }, readOn));
    return found;
  }

  async #read(versions: readonly Version[], found: Map<number, Buffer>, isKept: boolean): Promise<void> {
    const stored = await this.#reads.read(versions.map(({ row }) => row));
    for (const [index, version] of versions.entries()) {
      const raw = stored[index];
      if (raw === undefined) {
        this.#onMissing(version);
        continue;
      }
      const value = version.key === COMPACT_KEY ? unpackCompactValue(raw).value : raw;
      found.set(version.row, value);
      if (isKept) this.set(version.row, value);
    }
  }

  #keep(row: number, value: Buffer): void {
    const bytes = value.length + ENTRY_BYTES;
    if (bytes > this.#halfBytes) return;
    if (this.#youngBytes + bytes > this.#halfBytes) {
      this.#old = this.#young;
      this.#young = new Map();
      this.#youngBytes = 0;
    }
    this.#young.set(row, value);
    this.#youngBytes += bytes;
  }

  #forget(row: number): void {
    this.#old.delete(row);
    const young = this.#young.get(row);
    if (young === undefined) return;
    this.#young.delete(row);
    this.#youngBytes -= young.length + ENTRY_BYTES;
  }
}

/** A Buffer that keeps no larger one alive: values arrive as slices of network and worker messages. */
function detached(value: Buffer): Buffer {
  if (value.length === value.buffer.byteLength) return value;
  const copy = Buffer.allocUnsafeSlow(value.length);
  value.copy(copy);
  return copy;
}
