import type { Driver } from "./driver.ts";
import { COMPACT_KEY, unpackCompactValue } from "./names.ts";
import type { Version } from "./version.ts";

export const NO_VALUE: Buffer = Buffer.alloc(0);

/** What an entry costs besides its bytes: map entry, Buffer and ArrayBuffer objects. */
const ENTRY_BYTES = 250;
const READ_ROWS = 256;
/** Larger reads are lists of everything, which would only drive out what is in use. */
const KEPT_ROWS = 512;

/** Values by row id: the most recently used up to a limit in memory, the others read through the driver. */
export class ValueCache {
  readonly #driver: Pick<Driver, "values">;
  readonly #limitBytes: number;
  readonly #onMissing: (version: Version) => void;
  readonly #values = new Map<number, Buffer>();
  #bytes = 0;

  /** `onMissing` is told of every row that the database does not have any more. */
  constructor(driver: Pick<Driver, "values">, limitBytes: number, onMissing: (version: Version) => void) {
    this.#driver = driver;
    this.#limitBytes = limitBytes;
    this.#onMissing = onMissing;
  }

  /** The value when it is in memory. */
  peek(version: Version): Buffer | undefined {
    if (version.deleted) return NO_VALUE;
    if (version.value !== undefined) return version.value;
    const value = this.#values.get(version.row);
    if (value === undefined) return undefined;
    this.#values.delete(version.row); // moves it to the young end of the map
    this.#values.set(version.row, value);
    return value;
  }

  set(row: number, value: Buffer): void {
    const old = this.#values.get(row);
    if (old !== undefined) this.#forget(row, old);
    const own = detached(value);
    this.#values.set(row, own);
    this.#bytes += own.length + ENTRY_BYTES;
    for (const [oldest, bytes] of this.#values) {
      if (this.#bytes <= this.#limitBytes) break;
      this.#forget(oldest, bytes);
    }
  }

  /** Drops rows that a compaction removed. */
  forget(rows: readonly number[]): void {
    for (const row of rows) {
      const value = this.#values.get(row);
      if (value !== undefined) this.#forget(row, value);
    }
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
    const reads: Promise<void>[] = [];
    for (let start = 0; start < missing.length; start += READ_ROWS)
      reads.push(this.#read(missing.slice(start, start + READ_ROWS), found, missing.length <= KEPT_ROWS));
    await Promise.all(reads);
    return found;
  }

  async #read(versions: readonly Version[], found: Map<number, Buffer>, isKept: boolean): Promise<void> {
    const stored = await this.#driver.values(versions.map(({ row }) => row));
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

  #forget(row: number, value: Buffer): void {
    this.#values.delete(row);
    this.#bytes -= value.length + ENTRY_BYTES;
  }
}

/** A Buffer that keeps no larger one alive: values arrive as slices of network and worker messages. */
function detached(value: Buffer): Buffer {
  if (value.length === value.buffer.byteLength) return value;
  const copy = Buffer.allocUnsafeSlow(value.length);
  value.copy(copy);
  return copy;
}
