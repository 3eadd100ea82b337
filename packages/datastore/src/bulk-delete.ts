import { nextTurn } from "@k3s/async";
import type { LoneChange } from "./committer.ts";
import { emptyBatch, type CommitBatch, type DriverTraits, type NewRow } from "./driver.ts";
import { toInterval, type Interval } from "./key-range.ts";
import type { LeaseBook } from "./lease-book.ts";
import { NEWEST, type MvccIndex } from "./mvcc-index.ts";
import { nameOfKey } from "./names.ts";
import type { DeleteOp, Txn, TxnResult } from "./types.ts";
import { revision } from "./types.ts";
import type { ValueCache } from "./value-cache.ts";
import { SharedTombstone, type Version } from "./version.ts";

/** Fewer keys are deleted by an ordinary plan, which other writes need not wait for: it takes a few milliseconds, and their values fit. */
const MIN_KEYS = 500;
/** Keys looked at in one turn of the event loop. */
const SLICE_KEYS = 2000;

interface BulkDeleteParts {
  readonly index: MvccIndex;
  readonly values: ValueCache;
  readonly leases: LeaseBook;
  readonly traits: DriverTraits;
}

/**
 * Deletes a range of many keys in one revision. It is planned, and shown once it is durable, in slices; the state it is planned on cannot
 * change meanwhile, as the committer plans nothing else. No value is read: the driver copies what kine's rows need inside of the database,
 * and watches read the values before from there.
 */
export class BulkDelete implements LoneChange<TxnResult> {
  readonly interval: Interval;
  readonly #parts: BulkDeleteParts;
  #versions: readonly Version[] = [];
  #first = 0;

  constructor(parts: BulkDeleteParts, interval: Interval) {
    this.#parts = parts;
    this.interval = interval;
  }

  /** undefined: an ordinary plan does it. */
  static of(txn: Txn, parts: BulkDeleteParts): BulkDelete | undefined {
    const op = loneDelete(txn);
    if (op === undefined) return undefined;
    const interval = toInterval(op);
    return parts.index.count(interval, NEWEST) < MIN_KEYS ? undefined : new BulkDelete(parts, interval);
  }

  async prepare(after: number): Promise<CommitBatch> {
    this.#first = after + 1;
    this.#versions = await this.#find();
    const count = this.#versions.length;
    const spans = count > 1 ? [{ first: this.#first, last: after + count }] : [];
    return { ...emptyBatch, after, ...(await this.#rows()), spans };
  }

  async show(): Promise<TxnResult> {
    const { index, values, leases } = this.#parts;
    const versions = this.#versions;
    this.#versions = [];
    const last = this.#first + versions.length - 1;
    const deletion = { mod: last };
    for (let start = 0; start < versions.length; start += SLICE_KEYS) {
      const slice = versions.slice(start, start + SLICE_KEYS);
      for (const [i, previous] of slice.entries()) {
        const tombstone = new SharedTombstone(previous, this.#first + start + i, deletion);
        index.append(tombstone);
        leases.attach(tombstone);
      }
      values.forget(slice.map(({ row }) => row));
      await nextTurn();
    }
    void values.trim(); // memory of this process alone: no writer is to wait for it
    const deleted = versions.length;
    return {
      revision: revision(last),
      succeeded: true,
      results: [{ kind: "delete", revision: revision(last), deleted, prevKvs: [] }],
    };
  }

  async #find(): Promise<readonly Version[]> {
    const found: Version[] = [];
    for (let { from } = this.interval; ;) {
      const slice = this.#parts.index.scan({ from, to: this.interval.to, revision: NEWEST, limit: SLICE_KEYS });
      for (const version of slice) found.push(version);
      const last = slice.at(-1);
      if (last === undefined || slice.length < SLICE_KEYS) return found;
      from = `${last.key}\0`;
      await nextTurn();
    }
  }

  /** What to write, in the form that takes the least memory: with a name of its own each row takes a kilobyte on its way. */
  async #rows(): Promise<Pick<CommitBatch, "rows" | "deletions">> {
    const versions = this.#versions;
    if (this.#parts.traits.takesDeletions === true)
      return { rows: [], deletions: { first: this.#first, rows: await rowsOf(versions) } };
    const rows: NewRow[] = [];
    for (const version of versions) {
      rows.push(tombstoneRow(version, this.#first + rows.length));
      if (rows.length % SLICE_KEYS === 0) await nextTurn();
    }
    return { rows };
  }
}

/** The deletion that a transaction consists of, unless it is to answer with what was there. */
function loneDelete({ compare, success }: Txn): DeleteOp | undefined {
  const [op, ...others] = success;
  const isLone = compare.length === 0 && others.length === 0;
  return isLone && op?.kind === "delete" && !op.prevKv ? op : undefined;
}

async function rowsOf(versions: readonly Version[]): Promise<Float64Array> {
  const rows = new Float64Array(versions.length);
  for (const [i, { row }] of versions.entries()) {
    rows[i] = row;
    if (i % SLICE_KEYS === SLICE_KEYS - 1) await nextTurn();
  }
  return rows;
}

function tombstoneRow({ key, row }: Version, id: number): NewRow {
  return {
    id,
    name: nameOfKey(key),
    created: false,
    deleted: true,
    createRevision: 0,
    prevRevision: row,
    ttlSeconds: 0,
    lease: 0n,
    value: undefined,
  };
}
