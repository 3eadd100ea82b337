import { emptyBatch, type CommitBatch } from "./driver.ts";
import type { Draft, Needs, Pinned } from "./draft.ts";
import { toInterval } from "./key-range.ts";
import type { LeaseBook } from "./lease-book.ts";
import { NEWEST, type MvccIndex } from "./mvcc-index.ts";
import { assertNotCompacted, buildRange, needsValues, readRevision, select } from "./range-selection.ts";
import { StoreError } from "./store-errors.ts";
import { holds } from "./txn-compare.ts";
import { TxnWrites } from "./txn-writes.ts";
import type { DeleteOp, KeyRange, Op, OpResult, PutOp, RangeQuery, Revision, Txn, TxnResult } from "./types.ts";
import { revision } from "./types.ts";
import { NO_VALUE, type ValueCache } from "./value-cache.ts";
import { isLive, toKey, toKeyValue, type Version } from "./version.ts";

interface PlannerParts {
  readonly index: MvccIndex;
  readonly values: ValueCache;
  readonly leases: LeaseBook;
}

/** Which branch runs, decided for all levels before the first write. */
interface Path {
  readonly succeeded: boolean;
  readonly ops: readonly Op[];
  readonly nested: ReadonlyMap<Op, Path>;
}

/** Ranges are answered at the end: only then the revision of the transaction is known. */
type Finish = (at: Revision) => OpResult;

/** Carries out one transaction on the index. One use; throws StoreError, then or after `needs` the index is as before. */
export class TxnPlanner {
  readonly #parts: PlannerParts;
  readonly #pinned: Map<number, Buffer>;
  readonly #writes: TxnWrites;
  readonly #needs: Version[] = [];
  /** What the transaction reads at: NEWEST, or the committed revision when it cannot write. */
  readonly #at: number;
  /** The newest revision that it finds. */
  readonly #before: Revision;
  #showsPast = false;

  constructor(parts: PlannerParts, pinned: Pinned, at: number) {
    this.#parts = parts;
    this.#pinned = new Map(pinned);
    this.#writes = new TxnWrites(parts.index, parts.leases);
    this.#at = at;
    this.#before = revision(at === NEWEST ? parts.index.lastRow : at);
  }

  plan(txn: Txn): Draft<TxnResult> | Needs {
    const { index } = this.#parts;
    const mark = { end: index.log.end, lastRow: index.lastRow };
    try {
      const path = this.#decide(txn);
      if (this.#needs.length > 0) return { needs: this.#needs }; // the path may be another one, and refuse nothing
      const finishers = this.#run(path);
      if (this.#needs.length > 0) index.rollback(mark.end, mark.lastRow);
      return this.#needs.length > 0 ? { needs: this.#needs } : this.#draft(path, finishers, mark.lastRow + 1);
    } catch (error) {
      index.rollback(mark.end, mark.lastRow);
      throw error;
    }
  }

  #draft(path: Path, finishers: readonly Finish[], first: number): Draft<TxnResult> {
    const { index } = this.#parts;
    this.#writes.seal();
    const at = revision(this.#at === NEWEST ? index.lastRow : this.#at);
    const rows = this.#writes.rows;
    const batch: CommitBatch = rows.length === 0 ? emptyBatch : { ...emptyBatch, rows, spans: spanOf(first, at) };
    const results = finishers.map((finish) => finish(at));
    return {
      result: { revision: at, succeeded: path.succeeded, results },
      batch,
      events: this.#writes.events(this.#pinned),
      showsPast: this.#showsPast,
      undo: () => undefined,
    };
  }

  #decide({ compare, success, failure }: Txn): Path {
    const { index } = this.#parts;
    const valueOf = (version: Version) => this.#value(version);
    const succeeded = compare.every((condition) => {
      const versions = index.scan({ ...toInterval(condition), revision: this.#at, limit: Number.POSITIVE_INFINITY });
      return holds(condition, versions, valueOf);
    });
    const ops = succeeded ? success : failure;
    const nested = new Map<Op, Path>();
    for (const op of ops) if (op.kind === "txn") nested.set(op, this.#decide(op.txn));
    return { succeeded, ops, nested };
  }

  #run({ ops, nested }: Path): Finish[] {
    return ops.map((op): Finish => {
      switch (op.kind) {
        case "put":
          return this.#put(op);
        case "delete":
          return this.#delete(op);
        case "range":
          return this.#range(op.query);
        case "txn":
          return this.#nested(nested.get(op));
      }
    });
  }

  #put(op: PutOp): Finish {
    const key = toKey(op.key);
    const before = this.#parts.index.newest(key);
    const previous = isLive(before) ? before : undefined;
    if (previous === undefined && (op.ignoreValue || op.ignoreLease))
      throw new StoreError("keyNotFound", "Cannot keep value or lease: there is no such key");
    const previousValue = previous === undefined ? NO_VALUE : this.#value(previous);
    this.#writes.put({
      key,
      value: op.ignoreValue ? previousValue : op.value,
      lease: op.ignoreLease ? (previous?.lease ?? 0n) : op.lease,
    });
    const prevKv = op.prevKv && previous !== undefined ? toKeyValue(previous, previousValue) : undefined;
    return () => ({ kind: "put", prevKv });
  }

  #delete(op: DeleteOp): Finish {
    const versions = this.#live(op);
    const prevKvs = versions.map((version) => toKeyValue(version, this.#value(version)));
    for (const version of versions) this.#writes.delete(version);
    const seen = this.#seen();
    const result = { kind: "delete", deleted: versions.length, prevKvs: op.prevKv ? prevKvs : [] } as const;
    return (at) => ({ ...result, revision: seen(at) });
  }

  #range(query: RangeQuery): Finish {
    const { index } = this.#parts;
    readRevision(index, query);
    if (query.revision > 0) this.#readPast(query.revision);
    const selection = select(index, query, query.revision > 0 ? query.revision : this.#at);
    const values = new Map<number, Buffer>();
    if (needsValues(query)) for (const version of selection.versions) values.set(version.row, this.#value(version));
    const seen = this.#seen();
    return (at) => ({ kind: "range", range: buildRange(query, selection, { revision: seen(at), values }) });
  }

  /** The revision of what an operation shows now: that of the transaction, `at`, as soon as it has changed something. */
  #seen(): (at: Revision) => Revision {
    return this.#writes.rows.length > 0 ? (at) => at : () => this.#before;
  }

  /** What writes comes behind the compactions that are pending. */
  #readPast(at: number): void {
    const { comingCompactRevision: compactRevision } = this.#parts.index;
    if (this.#at === NEWEST) assertNotCompacted({ compactRevision }, at);
    this.#showsPast = true;
  }

  #nested(path: Path | undefined): Finish {
    if (path === undefined) throw new Error("Cannot run nested transaction: its path was not decided");
    const finishers = this.#run(path);
    return (at) => {
      const results = finishers.map((finish) => finish(at));
      return { kind: "txn", txn: { revision: at, succeeded: path.succeeded, results } };
    };
  }

  #live(range: KeyRange): Version[] {
    const limit = Number.POSITIVE_INFINITY;
    return this.#parts.index.scan({ ...toInterval(range), revision: NEWEST, limit });
  }

  #value(version: Version): Buffer {
    const value = this.#pinned.get(version.row) ?? this.#parts.values.peek(version);
    if (value === undefined) this.#needs.push(version);
    else this.#pinned.set(version.row, value); // events are built from these, whatever the cache drops meanwhile
    return value ?? NO_VALUE;
  }
}

function spanOf(first: number, last: number): CommitBatch["spans"] {
  return last > first ? [{ first, last }] : [];
}

/** Whether the transaction can change anything, whichever branch runs. */
export function canWrite({ success, failure }: Txn): boolean {
  return [...success, ...failure].some((op) => (op.kind === "txn" ? canWrite(op.txn) : op.kind !== "range"));
}

/** Whether it may read at a revision of its own, which may be compacted. */
export function canReadPast({ success, failure }: Txn): boolean {
  return [...success, ...failure].some((op) =>
    op.kind === "txn" ? canReadPast(op.txn) : op.kind === "range" && op.query.revision > 0,
  );
}
