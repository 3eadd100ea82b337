import type { CommitBatch, DriverTraits, DueLease, LeaseRecord } from "./driver.ts";
import { COMPACT_KEY, nameOfKey } from "./names.ts";
import type { LeaseId } from "./types.ts";

const COMPACT_NAME = nameOfKey(COMPACT_KEY);

/** One transaction out of several, planned on top of the row `after`. */
export function merge(batches: readonly CommitBatch[], after: number): CommitBatch {
  const targets = batches.map(({ compactRevision }) => compactRevision).filter((target) => target !== undefined);
  return {
    after,
    rows: batches.flatMap(({ rows }) => rows),
    spans: batches.flatMap(({ spans }) => spans),
    ...leasesOf(batches),
    requiredLeases: requiredOf(batches),
    dueLeases: dueOf(batches),
    rowLeases: batches.flatMap(({ rowLeases }) => rowLeases),
    compactRevision: targets.length === 0 ? undefined : Math.max(...targets),
  };
}

/** Each lease as the last batch leaves it: one that is granted again has not ended. */
function leasesOf(batches: readonly CommitBatch[]): Pick<CommitBatch, "leases" | "endedLeases"> {
  const leases = new Map<LeaseId, LeaseRecord>();
  const ended = new Set<LeaseId>();
  for (const batch of batches) {
    for (const lease of batch.leases) leases.set(lease.id, lease);
    for (const { id } of batch.leases) ended.delete(id);
    for (const id of batch.endedLeases) leases.delete(id);
    for (const id of batch.endedLeases) ended.add(id);
  }
  return { leases: [...leases.values()], endedLeases: [...ended] };
}

/** What one requires and none before it grants. */
function requiredOf(batches: readonly CommitBatch[]): LeaseId[] {
  const granted = new Set<LeaseId>();
  const required: LeaseId[] = [];
  for (const { leases, requiredLeases } of batches) {
    required.push(...requiredLeases.filter((id) => !granted.has(id)));
    for (const { id } of leases) if (!requiredLeases.includes(id)) granted.add(id);
  }
  return required;
}

/** What one found due as it is stored: not by a grant or renewal that becomes durable together with it. */
function dueOf(batches: readonly CommitBatch[]): DueLease[] {
  const renewed = new Set<LeaseId>();
  const due: DueLease[] = [];
  for (const { leases, dueLeases } of batches) {
    due.push(...dueLeases.filter(({ id }) => !renewed.has(id)));
    for (const { id } of leases) renewed.add(id);
  }
  return due;
}

/** Whether there is nothing to write. */
export function isEmpty(batch: CommitBatch): boolean {
  const { leases, endedLeases, rowLeases, compactRevision } = batch;
  const hasSides = [leases, endedLeases, rowLeases].some(({ length }) => length > 0);
  return compactRevision === undefined && !hasSides && rowCount(batch) === 0;
}

/** How many rows it adds to the table. */
export function rowCount({ rows, deletions }: CommitBatch): number {
  return rows.length + (deletions?.rows.length ?? 0);
}

/**
 * Whether it puts keys: such batches alone are refused for good on a full disk. With a put to its compaction key the API server begins
 * each compaction, so that counts as none.
 */
export function hasPuts({ rows }: CommitBatch): boolean {
  return rows.some(({ deleted, name }) => !deleted && name !== COMPACT_NAME);
}

/** Whether two changes may become durable together. One with deletions is a batch by itself: {@link merge} joins rows alone. */
export function mayShareCommit(one: CommitBatch, other: CommitBatch, { atomic }: DriverTraits): boolean {
  if (one.deletions !== undefined || other.deletions !== undefined) return false;
  if (atomic === "batch") return true;
  const kinds = [kindOf(one), kindOf(other)];
  return !kinds.includes("end") && kinds[0] === kinds[1];
}

/** What must not be torn apart where a batch can be: the end of a lease is one with its rows, a grant comes before the rows that name it. */
function kindOf({ endedLeases, leases }: CommitBatch): "end" | "grant" | "rows" {
  if (endedLeases.length > 0) return "end";
  return leases.length > 0 ? "grant" : "rows";
}
