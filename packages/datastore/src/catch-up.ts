import type { ChangedRow, Changes, SharedDatabase } from "./driver.ts";
import { toEvent } from "./draft.ts";
import type { Leases } from "./leases.ts";
import type { MvccIndex } from "./mvcc-index.ts";
import { COMPACT_KEY, unpackCompactValue } from "./names.ts";
import { RowReader, type Unleased } from "./row-reader.ts";
import type { ValueCache } from "./value-cache.ts";
import { isLive, type Version } from "./version.ts";
import type { WatchHub } from "./watch-hub.ts";

const PAGE_ROWS = 1000;

interface CatchUpParts {
  readonly shared: SharedDatabase;
  readonly index: MvccIndex;
  readonly values: ValueCache;
  readonly leases: Leases;
  readonly hub: WatchHub;
}

/** Brings what other servers committed into the index and tells the watches. Only while nothing of ours is pending. */
export class CatchUp {
  readonly #parts: CatchUpParts;

  constructor(parts: CatchUpParts) {
    this.#parts = parts;
  }

  /** Resolves with the keys that still need a lease of ours once the index shows the database as it was during the call. */
  async run(): Promise<readonly Unleased[]> {
    const { shared, index, leases } = this.#parts;
    const { compactRevision } = await shared.position();
    const start = index.lastRow;
    const unleased: Unleased[] = [];
    for (;;) {
      const changes = await shared.changes(index.lastRow, PAGE_ROWS);
      if (changes.rows.length === 0) break;
      unleased.push(...(await this.#apply(changes)));
    }
    // Without new rows it was a lease that somebody ended.
    if (index.lastRow === start) leases.sync(await shared.leases());
    index.compact(compactRevision);
    return unleased;
  }

  async #apply(changes: Changes): Promise<readonly Unleased[]> {
    const { index, values, hub } = this.#parts;
    const mark = { end: index.log.end, lastRow: index.lastRow };
    try {
      const reader = this.#append(changes);
      await this.#attach(reader.versions);
      const replaced = reader.versions.map(({ previous }) => previous).filter(isLive);
      const found = await values.load([...reader.versions.filter(isLive), ...replaced]);
      const events = reader.versions.map((version) => toEvent(version, version.previous, found));
      index.commit(index.lastRow);
      this.#lose(changes.completeFrom ?? 0);
      hub.publish(events, index.committed);
      return reader.unleased();
    } catch (error) {
      index.rollback(mark.end, mark.lastRow);
      throw error;
    }
  }

  /** What a watch has not been told before is lost to it, and it has to know. */
  #lose(completeFrom: number): void {
    const { index, hub } = this.#parts;
    if (completeFrom <= index.compactRevision) return;
    index.compact(completeFrom);
    hub.endBelow(completeFrom);
  }

  #append({ rows, spans }: Changes): RowReader {
    const revisions = new Map<number, number>();
    for (const { first, last } of spans) for (let row = first; row <= last; row++) revisions.set(row, last);
    const reader = new RowReader(this.#parts.index);
    for (const row of rows) {
      const beside = { leaseOf: () => row.lease, revisionOf: (id: number) => revisions.get(id) ?? id };
      const version = reader.add(row, beside);
      if (version !== undefined) this.#keepValue(version, row);
    }
    return reader;
  }

  #keepValue(version: Version, { value }: ChangedRow): void {
    if (!isLive(version) || value === undefined) return;
    if (version.key === COMPACT_KEY) {
      const unpacked = unpackCompactValue(value);
      version.version = unpacked.version;
      this.#parts.values.set(version.row, unpacked.value);
    } else this.#parts.values.set(version.row, value);
  }

  async #attach(versions: readonly Version[]): Promise<void> {
    const { shared, leases } = this.#parts;
    const isUnknown = ({ lease }: Version) => lease !== 0n && leases.book.get(lease) === undefined;
    if (versions.some(isUnknown)) leases.sync(await shared.leases());
    leases.attach(versions);
  }
}
