import { nextTurn } from "@k3s/async";
import type { ChangedRow, Changes, Driver, ForeignRows } from "./driver.ts";
import { toEvent, type KeyedEvent } from "./draft.ts";
import { HistoryCheck } from "./history-check.ts";
import type { Interval } from "./key-range.ts";
import type { Leases } from "./leases.ts";
import { NEWEST, type MvccIndex } from "./mvcc-index.ts";
import { COMPACT_KEY, nameOfKey, unpackCompactValue } from "./names.ts";
import { RowReader, type Unleased } from "./row-reader.ts";
import type { ValueCache } from "./value-cache.ts";
import { assertFound } from "./value-reads.ts";
import { isLive, type Version } from "./version.ts";
import type { WatchHub } from "./watch-hub.ts";

const PAGE_ROWS = 1000;
/** Beyond as many, which one transaction of another server holds, watches read their events from the log. */
const MAX_EVENTS = 4 * PAGE_ROWS;
const EVERYTHING: Interval = { from: "", to: undefined };

interface CatchUpParts {
  readonly driver: Driver;
  readonly others: ForeignRows;
  readonly index: MvccIndex;
  readonly values: ValueCache;
  readonly leases: Pick<Leases, "attach" | "book">;
  /** Makes the leases equal to those that are stored. */
  readonly syncLeases: () => Promise<void>;
  readonly hub: WatchHub;
}

/** Brings what other servers committed into the index and tells the watches. Only while nothing of ours is pending. */
export class CatchUp {
  readonly #parts: CatchUpParts;
  readonly #history: HistoryCheck;
  /** Where the part of the index ends that others see: what follows is taken back when reading it fails. */
  #shown = { end: 0, lastRow: 0 };
  /** Newest compaction that removed rows before the index had seen them; 0: none. Until all that follows from it is done nothing is shown. */
  #missedUpTo = 0;
  /** How often such rows were missed. */
  #misses = 0;
  /** Of rows that are shown, also by a call that failed behind them: no other one reads them again. */
  #unleased: Unleased[] = [];

  constructor(parts: CatchUpParts) {
    this.#parts = parts;
    this.#history = new HistoryCheck(parts);
  }

  /**
   * Resolves with the keys that still need a lease of ours once the index shows the database as it was during the call; with the leases,
   * too, where `withLeases` says so or there is nothing else new.
   */
  async run(withLeases: boolean): Promise<readonly Unleased[]> {
    const { others, index, syncLeases } = this.#parts;
    const start = index.lastRow;
    await this.#catchUp();
    // Without new rows it was a lease that somebody ended.
    if (withLeases || index.lastRow === start) await syncLeases();
    // After the rows: what was compacted before one of them was written is refused to whoever has seen it.
    const { compactRevision } = await others.position();
    index.compact(Math.min(compactRevision, index.committed));
    const unleased = this.#unleased;
    this.#unleased = [];
    return unleased.filter(({ version }) => index.newest(version.key) === version);
  }

  async #catchUp(): Promise<void> {
    this.#noteShown();
    this.#missedUpTo = 0;
    try {
      await this.#readOn();
      if (this.#missedUpTo > 0) await this.#makeUp();
    } catch (error) {
      this.#takeBack();
      throw error;
    }
  }

  #takeBack(): void {
    const { index, values } = this.#parts;
    const rows: number[] = [];
    for (let at = this.#shown.end; at < index.log.end; at++) rows.push(index.log.at(at)?.row ?? 0);
    values.forget(rows);
    this.#unleased = this.#unleased.filter(({ version }) => version.row <= this.#shown.lastRow);
    index.rollback(this.#shown.end, this.#shown.lastRow);
  }

  #noteShown(): void {
    const { index } = this.#parts;
    this.#shown = { end: index.log.end, lastRow: index.lastRow };
  }

  /** Up to where the database stands at first: others may write as fast as this reads. Rejects with LostHistoryError where it has gone back. */
  async #readOn(): Promise<void> {
    const { others, index } = this.#parts;
    const { lastRow: goal } = await others.position();
    await this.#history.assertWhole(goal);
    while (index.lastRow < goal) {
      const changes = await others.changes(index.lastRow, PAGE_ROWS);
      if (changes.rows.length === 0) break;
      const ended = await this.#noteMissed(changes);
      const reader = await this.#append({ ...changes, rows: [...ended, ...changes.rows] });
      await this.#attach(reader.versions);
      if (this.#missedUpTo === 0) await this.#show(reader.versions);
      this.#unleased.push(...reader.unleased());
    }
  }

  /**
   * Another server compacts what it has seen, not what we have seen. The marker moves before rows are removed, so it is asked after
   * the rows were read. Resolves with what can be told of it.
   */
  async #noteMissed(changes: Changes): Promise<readonly ChangedRow[]> {
    const next = this.#parts.index.lastRow + 1;
    const lostUpTo = await this.#lostUpTo(changes);
    if (lostUpTo < next || (lostUpTo === next && changes.rows[0]?.id === next)) return [];
    const ended = lostUpTo === next && this.#missedUpTo === 0 ? await this.#endedBy(next) : undefined;
    if (ended !== undefined) return ended;
    this.#missedUpTo = Math.max(this.#missedUpTo, lostUpTo);
    this.#misses++;
    return [];
  }

  /** Up to where rows may have been removed that are not among the changes; 0: they are whole. */
  async #lostUpTo({ rows, completeFrom = 0 }: Changes): Promise<number> {
    const last = rows.at(-1)?.id ?? 0;
    // A driver that knows where history is lost may tell of what is gone as gaps.
    if (completeFrom === 0 && last - this.#parts.index.lastRow === rows.length) return 0;
    const { compactRevision } = await this.#parts.others.position();
    return Math.max(compactRevision, completeFrom);
  }

  /**
   * The row `id`, read out of the keys that are missing: a compaction leaves no tombstone at its own revision, and watches that wait for that
   * one do not end by it. Undefined: more was compacted meanwhile.
   */
  async #endedBy(id: number): Promise<readonly ChangedRow[] | undefined> {
    const { others } = this.#parts;
    const gone = await this.#goneKeys(this.#parts.index.lastRow);
    if ((await others.position()).compactRevision > id) return undefined;
    return gone.map(({ key, row }) => {
      const end = { created: false, deleted: true, createRevision: 0, prevRevision: row, ttlSeconds: 0 };
      return { id, name: nameOfKey(key), ...end, lease: 0n, value: undefined };
    });
  }

  /**
   * Keys whose end was among the rows that are gone are gone themselves: of a live key the newest row is always there. Watches cannot be
   * told what is gone: they end as those do that start too early.
   */
  async #makeUp(): Promise<void> {
    const { index, hub } = this.#parts;
    let gone: readonly Version[] = [];
    for (let seen = -1; seen < this.#misses;) {
      seen = this.#misses;
      gone = await this.#goneKeys(index.lastRow);
      await this.#readOn(); // keys that were written meanwhile have newer rows now, or ended unseen as well
    }
    // In one turn: who reads before it sees nothing of this, and who reads after it all.
    for (const version of gone) if (index.newest(version.key) === version) index.forget(version);
    this.#cutOff();
    index.compact(this.#missedUpTo);
    hub.endBefore(this.#missedUpTo);
    this.#showFromLog(this.#missedUpTo);
  }

  /** What rows replaced that are not shown yet, where that is gone: a creation follows an end that was not seen. */
  #cutOff(): void {
    const { log } = this.#parts.index;
    for (let position = this.#shown.end; position < log.end; position++) {
      const version = log.at(position);
      if (version === undefined) continue;
      const isCreation = isLive(version) && version.create === version.mod;
      if (isCreation ? isLive(version.previous) : version.mod <= this.#missedUpTo) version.previous = undefined;
    }
  }

  /** Live keys of the index whose row up to `last` is not in the table any more. */
  async #goneKeys(last: number): Promise<readonly Version[]> {
    const present = await this.#rowsUpTo(last);
    const live = this.#parts.index.scan({ from: "", to: undefined, revision: NEWEST, limit: Infinity });
    return live.filter(({ row }) => row <= last && !present.has(row));
  }

  async #rowsUpTo(last: number): Promise<ReadonlySet<number>> {
    const rows = new Set<number>();
    for (let after = 0; after < last;) {
      const heads = await this.#parts.driver.heads(after, PAGE_ROWS);
      for (const { id } of heads) rows.add(id);
      after = heads.at(-1)?.id ?? last;
    }
    return rows;
  }

  async #show(versions: readonly Version[]): Promise<void> {
    const { index, hub } = this.#parts;
    const events = versions.length > MAX_EVENTS ? undefined : await this.#eventsOf(versions);
    if (events === undefined) {
      this.#showFromLog(0);
      return;
    }
    index.commit(index.lastRow);
    hub.publish(events, index.committed);
    this.#noteShown();
  }

  /** Watches that are left want nothing before `wholeFrom`. */
  #showFromLog(wholeFrom: number): void {
    const { index, hub } = this.#parts;
    const from = Math.max(index.committed + 1, wholeFrom);
    index.commit(index.lastRow);
    hub.publishFromLog(EVERYTHING, { from, to: index.committed });
    this.#noteShown();
  }

  async #eventsOf(versions: readonly Version[]): Promise<readonly KeyedEvent[]> {
    const replaced = versions.map(({ previous }) => previous).filter(isLive);
    const found = await this.#parts.values.load([...versions.filter(isLive), ...replaced]);
    assertFound(versions, found); // what was removed meanwhile is missing when it is read anew
    return versions.map((version) => toEvent(version, version.previous, found));
  }

  /** Rows that are not committed yet: nobody sees a part of them. */
  async #append({ rows, spans }: Changes): Promise<RowReader> {
    const revisions = new Map<number, number>();
    for (const { first, last } of spans) for (let row = first; row <= last; row++) revisions.set(row, last);
    const reader = new RowReader(this.#parts.index);
    for (const [i, row] of rows.entries()) {
      if (i % PAGE_ROWS === PAGE_ROWS - 1) await nextTurn();
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
    const { leases, syncLeases } = this.#parts;
    const isUnknown = ({ lease }: Version) => lease !== 0n && leases.book.get(lease) === undefined;
    if (versions.some(isUnknown)) await syncLeases();
    leases.attach(versions);
  }
}
