import { contains, isSingle, type Interval } from "./key-range.ts";
import { KeyTree } from "./key-tree.ts";
import { isLive, versionAt, type Key, type Version } from "./version.ts";
import { VersionLog } from "./version-log.ts";

/** Reads with this revision see everything, also what is not durable yet. */
export const NEWEST = Number.POSITIVE_INFINITY;

/** Log entries looked at in one slice, so that a slice without garbage is short too. */
const GARBAGE_SCAN = 10_000;

/** The same for a count. */
const COUNT_SCAN = 10_000;

export interface Scan extends Interval {
  readonly revision: number;
  /** Most versions to return. */
  readonly limit: number;
}

/** What one slice of a compaction removes. */
export interface Garbage {
  readonly rows: readonly number[];
  /** End of the slice in the log. */
  readonly position: number;
}

/**
 * All keys with their versions since the last compaction. Versions above `committed` are pending: they are here so that
 * later writes are compared with them, and reads do not see them because they read at `committed`.
 *
 *   compactRevision <= readable revisions <= committed < pending
 */
export class MvccIndex {
  readonly #tree = new KeyTree();
  readonly #log = new VersionLog();
  #committed = 0;
  #compactRevision = 0;
  #toldCompactRevision = 0;
  readonly #comingCompactions: number[] = [];
  #lastRow = 0;
  #swept = 0;
  #gaps: number[] = [];
  /** Tombstones whose rows are gone: nothing may be written on top of them any more. */
  readonly #buried = new WeakSet<Version>();

  /** Newest revision that is durable. */
  get committed(): number {
    return this.#committed;
  }

  get compactRevision(): number {
    return this.#compactRevision;
  }

  /** The same without what follows from rows that are gone only. */
  get toldCompactRevision(): number {
    return this.#toldCompactRevision;
  }

  /** The same once what is pending is durable: for what is planned behind it. */
  get comingCompactRevision(): number {
    return Math.max(this.#compactRevision, ...this.#comingCompactions);
  }

  /** Highest row id given out, pending ones included. */
  get lastRow(): number {
    return this.#lastRow;
  }

  get log(): VersionLog {
    return this.#log;
  }

  /** The newest version of a key, pending ones and tombstones included. */
  newest(key: Key): Version | undefined {
    return this.#tree.get(key);
  }

  /** Adds a version on top of its key and of the log. */
  append(version: Version): void {
    this.#tree.set(version);
    this.#log.push(version);
    this.#lastRow = version.row;
  }

  /** Takes an id that no key has: kine's marker and gap rows. */
  skipRow(row: number, isGap: boolean): void {
    this.#lastRow = row;
    if (isGap) this.#gaps.push(row);
  }

  /** Everything up to here is durable from now on. */
  commit(revision: number): void {
    this.#committed = Math.max(this.#committed, revision);
  }

  /** Takes back what was appended after the log had `end` entries and the row ids ended at `lastRow`. */
  rollback(end: number, lastRow: number): void {
    while (this.#log.end > end) {
      const version = this.#log.pop();
      if (version !== undefined) this.#undo(version);
    }
    this.#lastRow = lastRow;
    this.#gaps = this.#gaps.filter((row) => row <= lastRow);
  }

  /** Live versions of an interval at a revision, in key order. */
  scan({ from, to, revision, limit }: Scan): Version[] {
    const found: Version[] = [];
    if (limit <= 0) return found;
    this.#tree.visit({ from, to }, (newest) => {
      const version = versionAt(newest, revision);
      if (isLive(version)) found.push(version);
      return found.length < limit;
    });
    return found;
  }

  /** The newest versions of the first keys of an interval in key order, pending ones and tombstones included. */
  chains(interval: Interval, limit: number): Version[] {
    const found: Version[] = [];
    this.#tree.visit(interval, (newest) => found.push(newest) < limit);
    return found;
  }

  /** Live keys of an interval at a revision: the count of now, corrected by what happened since. */
  count(interval: Interval, revision: number): number {
    if (isSingle(interval)) return Number(isLive(versionAt(this.#tree.get(interval.from), revision)));
    for (const slices = this.countInSlices(interval, revision); ;) {
      const { done = false, value } = slices.next();
      if (done) return value;
    }
  }

  /**
   * The same in slices; other work may be done between two of them, and the number is of no use when a compaction beyond `revision`
   * was part of that.
   */
  *countInSlices(interval: Interval, revision: number): Generator<number, number> {
    if (isSingle(interval)) return Number(isLive(versionAt(this.#tree.get(interval.from), revision)));
    let count = this.#tree.countLive(interval);
    let looked = 0;
    for (let position = this.#log.end - 1; position >= this.#log.start; position--) {
      const version = this.#log.at(position);
      if (version === undefined || version.mod <= revision) break;
      if (contains(interval, version.key)) count -= Number(isLive(version)) - Number(isLive(version.previous));
      // What is pending may be taken back: it is looked at in the turn in which it was counted.
      if (++looked % COUNT_SCAN === 0 && version.mod <= this.#committed) yield count;
    }
    return count;
  }

  /** A compaction is planned. To be taken back with what this returns, when it is carried out or not to come. */
  announceCompaction(revision: number): () => void {
    this.#comingCompactions.push(revision);
    return () => {
      const at = this.#comingCompactions.indexOf(revision);
      if (at >= 0) this.#comingCompactions.splice(at, 1);
    };
  }

  /** Refuses reads below `revision` from now on. */
  compact(revision: number): void {
    this.#toldCompactRevision = Math.max(this.#toldCompactRevision, revision);
    this.#compactRevision = Math.max(this.#compactRevision, revision);
  }

  /**
   * The database has dropped a row, which only bounded histories and other programs' compactions do: as long as a newer row of its key
   * is there, everything before that one counts as compacted.
   */
  lose(version: Version): void {
    let next: Version | undefined;
    let found = this.newest(version.key);
    for (; found !== undefined && found !== version; found = found.previous) next = found;
    // Not found: a compaction of ours took it away, and all is as it was asked for.
    if (found !== undefined && next !== undefined && next.mod <= this.committed)
      this.#compactRevision = Math.max(this.#compactRevision, next.mod);
  }

  /** Removes a key whose newest version ended unseen, below the compacted revision. */
  forget({ key }: Version): void {
    this.#tree.delete(key);
  }

  /** Ids of rows that no read can need any more, about `limit` of them; undefined when there are none left. */
  garbage(limit: number): Garbage | undefined {
    // The last row of the table is never taken: the database would end before what is known of it.
    const rows = this.#gaps.filter((row) => row <= this.#compactRevision && row < this.#committed).slice(0, limit);
    const removable = Math.min(this.#compactRevision, this.#committed); // what is pending may be taken back
    let position = Math.max(this.#swept, this.#log.start);
    const first = position;
    const end = position + GARBAGE_SCAN;
    for (; rows.length < limit && position < end; position++) {
      const version = this.#log.at(position);
      if (version === undefined || version.mod > removable || this.#isStillTold(version)) break;
      if (version.previous !== undefined) rows.push(version.previous.row);
      if (version.deleted) rows.push(version.row);
    }
    return rows.length === 0 && position === first ? undefined : { rows, position };
  }

  /** Cuts from memory what {@link garbage} listed, after its rows are gone. */
  sweep({ rows, position }: Garbage): void {
    for (let at = Math.max(this.#swept, this.#log.start); at < position; at++) {
      const version = this.#log.at(at);
      if (version === undefined) continue;
      version.previous = undefined;
      if (version.deleted) this.#buried.add(version);
      if (version.deleted && this.#tree.get(version.key) === version) this.#tree.delete(version.key);
    }
    const gone = new Set(rows);
    this.#gaps = this.#gaps.filter((row) => !gone.has(row));
    this.#swept = position;
    // Entries of the compacted revision itself stay: a watch may start there.
    this.#log.dropBefore(Math.min(position, this.#log.find(this.#compactRevision)));
  }

  /** A watch may start at the compacted revision: a deletion there can be told until the next compaction, as in etcd. */
  #isStillTold({ deleted, mod }: Version): boolean {
    return deleted && mod === this.#compactRevision;
  }

  /** A tombstone comes back unless its row is gone: as long as the row is there, the key's next row has to name it. */
  #undo({ key, previous }: Version): void {
    if (previous === undefined || this.#buried.has(previous)) this.#tree.delete(key);
    else this.#tree.set(previous);
  }
}
