import type { CommitBatch, DueLease, LeaseId, LeaseRecord, NewRow } from "@k3s/datastore";

/** Kine's column `lease` has 32 bits with a sign. */
const TTL_MAX_SECONDS = 2 ** 31 - 1;

/** What is written for one row. */
export interface BatchRow {
  readonly id: number;
  readonly name: string;
  readonly created: 0 | 1;
  readonly deleted: 0 | 1;
  readonly createRevision: number;
  readonly prevRevision: number;
  /** What fits into kine's column. */
  readonly ttlSeconds: number;
  readonly value: Buffer | undefined;
  /**
   * `old_value` of kine's row: none (`undefined`), the value of the row with this id in the table (a number), or the bytes themselves,
   * where that row is in the same batch and so not yet to be read.
   */
  readonly old: Buffer | number | undefined;
}

/** A batch in the form in which it is written. */
export interface BatchRows {
  readonly rows: readonly BatchRow[];
  /** Each lease once, as it is in the end and unless the batch ends it, ordered so that two servers never wait in a ring. */
  readonly leases: readonly LeaseRecord[];
  /** Of the new rows and of older ones, each row once. */
  readonly rowLeases: readonly (readonly [row: number, lease: LeaseId])[];
  /** 0 when there are no rows. */
  readonly lastRow: number;
}

/** What a batch needs of the leases that are stored, each lease once. */
export interface NeededLeases {
  readonly anyEnd: readonly LeaseId[];
  /** With the end that is given. */
  readonly sameEnd: readonly DueLease[];
  readonly count: number;
}

/** Brings a batch into the form in which it is written to kine's table and ours beside it. */
export function batchRows(batch: CommitBatch): BatchRows {
  const inBatch = new Map<number, NewRow>();
  const rows = batch.rows.map((row) => {
    inBatch.set(row.id, row);
    return toBatchRow(row, inBatch.get(row.prevRevision));
  });
  const ownLeases = batch.rows.filter(({ lease }) => lease !== 0n).map(({ id, lease }) => [id, lease] as const);
  const rowLeases = new Map([...ownLeases, ...batch.rowLeases]);
  return { rows, leases: lastingLeases(batch), rowLeases: [...rowLeases], lastRow: rows.at(-1)?.id ?? 0 };
}

/**
 * Leases that have to be stored for the batch to be true: those it requires, those its rows name, and those it found due. One that it ends
 * without requiring it is granted in the batch itself, and never stored.
 */
export function neededLeases({ rows, leases, endedLeases, requiredLeases, dueLeases }: CommitBatch): NeededLeases {
  const given = new Set([...leases.map(({ id }) => id), ...endedLeases]);
  const anyEnd = new Set<LeaseId>();
  for (const { lease } of rows) if (lease !== 0n && !given.has(lease)) anyEnd.add(lease);
  for (const id of requiredLeases) anyEnd.add(id);
  for (const { id } of dueLeases) anyEnd.delete(id);
  return { anyEnd: [...anyEnd], sameEnd: dueLeases, count: anyEnd.size + dueLeases.length };
}

function lastingLeases({ leases, endedLeases }: CommitBatch): readonly LeaseRecord[] {
  const byId = new Map(leases.map((lease) => [lease.id, lease]));
  for (const id of endedLeases) byId.delete(id);
  return [...byId.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
}

function toBatchRow(row: NewRow, previous: NewRow | undefined): BatchRow {
  const { id, name, createRevision, prevRevision, value } = row;
  return {
    id,
    name,
    created: row.created ? 1 : 0,
    deleted: row.deleted ? 1 : 0,
    createRevision,
    prevRevision,
    ttlSeconds: Math.min(row.ttlSeconds, TTL_MAX_SECONDS),
    value,
    old: row.created ? undefined : previous === undefined ? prevRevision : previous.value,
  };
}

/** Name of the row with which kine fills the hole at `id`. */
export function gapName(id: number): string {
  return `gap-${id}`;
}
