import { releaseFree } from "@k3s/native";
import type { Driver } from "./driver.ts";
import { COMPACT_KEY, unpackCompactValue } from "./names.ts";
import { ValueLog } from "./value-log.ts";
import { ValueReads } from "./value-reads.ts";
import type { Version } from "./version.ts";

export const NO_VALUE: Buffer = Buffer.alloc(0);

const READ_ROWS = 256;
/** Reads of so many rows under way at a time: what a database is asked, it holds in memory until the answer is taken. */
const READS_AT_ONCE = 4;
/** Larger reads are lists of everything, which would only drive out what is in use. */
const KEPT_ROWS = 64;
/** Looking for freed memory takes milliseconds of the event loop, so that it has to be worth it: so much of the values' own … */
const RELEASE_BYTES = 1024 * 1024;
/** … or so many rows, each of which took about a kilobyte elsewhere on its way. Compactions of an idle cluster remove some hundred. */
const RELEASE_ROWS = 5000;

/** Values by row id: those in use up to a limit in memory, the others read through the driver. */
export class ValueCache {
  readonly #reads: ValueReads;
  readonly #onMissing: (version: Version) => void;
  readonly #log: ValueLog;
  /** Since freed memory was given back last. */
  #freedBytes = 0;
  #forgottenRows = 0;

  /** `onMissing` is told of every row that the database does not have any more. */
  constructor(driver: Pick<Driver, "values">, limitBytes: number, onMissing: (version: Version) => void) {
    this.#reads = new ValueReads(driver);
    this.#log = new ValueLog(limitBytes);
    this.#onMissing = onMissing;
  }

  /** The value when it is in memory. */
  peek(version: Version): Buffer | undefined {
    if (version.deleted) return NO_VALUE;
    if (version.value !== undefined) return version.value;
    return this.#log.get(version.row);
  }

  set(row: number, value: Buffer): void {
    this.#log.put(row, value);
  }

  /** Takes the value that a new version brings, and drops the one before it: history is asked for rarely, and the database has it. */
  replace({ row, value, previous }: Version): void {
    if (previous !== undefined) this.#log.delete(previous.row);
    if (value !== undefined) this.set(row, value);
  }

  /** Drops rows that a compaction removed. */
  forget(rows: readonly number[]): void {
    const before = this.#log.usedBytes;
    for (const row of rows) this.#log.delete(row);
    this.#freedBytes += before - this.#log.usedBytes;
    this.#forgottenRows += rows.length;
  }

  /**
   * Gives memory back after many rows were dropped, as far as their share makes that worth while, over some turns of the event loop. Never
   * rejects; need not be waited for.
   */
  async trim(): Promise<void> {
    const before = this.#log.usedBytes;
    await this.#log.trim();
    this.#freedBytes += Math.max(before - this.#log.usedBytes, 0); // it may have grown meanwhile
    if (this.#freedBytes < RELEASE_BYTES && this.#forgottenRows < RELEASE_ROWS) return;
    this.#freedBytes = 0;
    this.#forgottenRows = 0;
    try {
      releaseFree();
    } catch {
      // The native add-on is nowhere or does not fit: then the memory stays with this process, which uses it again.
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
}
