import type { CommitBatch, DriverTraits } from "./driver.ts";
import { COMPACT_KEY, nameOfKey } from "./names.ts";

const COMPACT_NAME = nameOfKey(COMPACT_KEY);

/** One transaction out of several, planned on top of the row `after`. */
export function merge(batches: readonly CommitBatch[], after: number): CommitBatch {
  const targets = batches.map(({ compactRevision }) => compactRevision).filter((target) => target !== undefined);
  return {
    after,
    rows: batches.flatMap(({ rows }) => rows),
    spans: batches.flatMap(({ spans }) => spans),
    leases: batches.flatMap(({ leases }) => leases),
    endedLeases: batches.flatMap(({ endedLeases }) => endedLeases),
    rowLeases: batches.flatMap(({ rowLeases }) => rowLeases),
    compactRevision: targets.length === 0 ? undefined : Math.max(...targets),
  };
}

/** Whether there is nothing to write. */
export function isEmpty({ rows, leases, endedLeases, rowLeases, compactRevision }: CommitBatch): boolean {
  const parts = [rows, leases, endedLeases, rowLeases];
  return compactRevision === undefined && parts.every(({ length }) => length === 0);
}

/**
 * Whether it puts keys: such batches alone are refused for good on a full disk. With a put to its compaction key the API server begins
 * each compaction, so that counts as none.
 */
export function hasPuts({ rows }: CommitBatch): boolean {
  return rows.some(({ deleted, name }) => !deleted && name !== COMPACT_NAME);
}

/** Whether two changes may become durable together. */
export function mayShareCommit(one: CommitBatch, other: CommitBatch, { atomic }: DriverTraits): boolean {
  if (atomic === "batch") return true;
  const kinds = [kindOf(one), kindOf(other)];
  return !kinds.includes("end") && kinds[0] === kinds[1];
}

/** What must not be torn apart where a batch can be: the end of a lease is one with its rows, a grant comes before the rows that name it. */
function kindOf({ endedLeases, leases }: CommitBatch): "end" | "grant" | "rows" {
  if (endedLeases.length > 0) return "end";
  return leases.length > 0 ? "grant" : "rows";
}
