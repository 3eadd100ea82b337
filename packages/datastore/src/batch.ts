import type { CommitBatch } from "./driver.ts";

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
