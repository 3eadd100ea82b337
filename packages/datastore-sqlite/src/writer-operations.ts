import type { Pruning } from "@k3s/datastore";
import { failpoint } from "@k3s/failpoints";
import type { Connection } from "./connection.ts";
import { unpackRows } from "./pack-batch.ts";
import { FIND_MARKER } from "./schema.ts";
import {
  ROWS_AFTER,
  type PackedBatch,
  type PackedDeletions,
  type PackedRow,
  type WorkerSettings,
} from "./worker-protocol.ts";

const VACUUM_PAGES = 2000;
const INCREMENTAL = 2;
/** A view of an empty ArrayBuffer would be stored as NULL, by which kine knows a missing value. */
const EMPTY = Buffer.alloc(0);

export interface WriterOperations {
  commit(batch: PackedBatch): void;
  prune(pruning: Pruning): void;
  /** Answers whether there is more to do. */
  vacuum(options: { readonly mayRewrite: boolean }): boolean;
}

/** What changes the database, with its statements prepared once. */
export function writerOperations(database: Connection, synchronous: WorkerSettings["synchronous"]): WriterOperations {
  const commit = committing(database);
  const prune = pruning(database);
  return {
    commit: (batch) => {
      commit.immediate(batch);
      failpoint("sqlite.committed");
    },
    prune: (what) => withoutSync(database, synchronous, () => prune.immediate(what)),
    vacuum: ({ mayRewrite }) => vacuum(database, mayRewrite),
  };
}

/** Another program wrote since the batch was planned. */
class RowsAfter extends Error {
  override readonly name = "RowsAfter";
  readonly code = ROWS_AFTER;
}

function committing(database: Connection) {
  const assertLast = lastRowCheck(database);
  const insertRow = rowInserter(database);
  const endKeys = keyEnder(database);
  const putLease = database.prepare("INSERT OR REPLACE INTO kine_lease (id, ttl, expires_at) VALUES (?, ?, ?)");
  const endLease = database.prepare("DELETE FROM kine_lease WHERE id = ?");
  const putRowLease = database.prepare("INSERT OR REPLACE INTO kine_lease_row (row_id, lease) VALUES (?, ?)");
  const putSpan = database.prepare("INSERT OR REPLACE INTO kine_span (last_id, first_id) VALUES (?, ?)");
  const moveMarker = markerMover(database);
  return database.transaction((batch: PackedBatch) => {
    if (hasRows(batch)) assertLast(batch.after);
    const rows = batch.columns === undefined ? batch.rows : unpackRows(batch.columns);
    for (const row of rows) insertRow(row, batch.values);
    if (batch.deletions !== undefined) endKeys(batch.deletions);
    failpoint("sqlite.rows");
    for (const { id, ttlSeconds, expiresAtMs } of batch.leases) putLease.run(id, ttlSeconds, expiresAtMs);
    for (const id of batch.endedLeases) endLease.run(id);
    for (const [row, lease] of batch.rowLeases) putRowLease.run(row, lease);
    for (const { first, last } of batch.spans) putSpan.run(last, first);
    if (batch.compactRevision !== undefined) moveMarker(batch.compactRevision);
  });
}

function hasRows({ rows, columns, deletions }: PackedBatch): boolean {
  return rows.length > 0 || columns !== undefined || deletions !== undefined;
}

/** Stands in for kine's unique index, in the same transaction as the rows. */
function lastRowCheck(database: Connection): (after: number) => void {
  const last = database.prepare<[], number | null>("SELECT max(id) FROM kine").pluck();
  return (after) => {
    const id = last.get() ?? 0;
    if (id > after) throw new RowsAfter(`the last row is ${id}, planned on ${after}`);
  };
}

/** Moves kine's marker forward, never back. Its row is looked for once. */
function markerMover(database: Connection): (to: number) => void {
  const find = database.prepare<[], number>(FIND_MARKER).pluck();
  const move = database.prepare<[number, number]>(
    "UPDATE kine SET prev_revision = max(prev_revision, ?) WHERE id = ? AND name = 'compact_rev_key'",
  );
  let id: number | undefined;
  return (to) => {
    if (id !== undefined && move.run(to, id).changes > 0) return;
    id = find.get();
    if (id !== undefined) move.run(to, id);
  };
}

function rowInserter(database: Connection): (row: PackedRow, values: ArrayBuffer) => void {
  const insert = database.prepare(
    `INSERT INTO kine (id, name, created, deleted, create_revision, prev_revision, lease, value, old_value)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, (SELECT value FROM kine WHERE id = ?))`,
  );
  return ([id, name, created, deleted, createRevision, prevRevision, ttl, offset, length], values) => {
    const value = length < 0 ? null : length === 0 ? EMPTY : Buffer.from(values, offset, length);
    const source = created === 1 ? null : prevRevision;
    insert.run(id, name, created, deleted, createRevision, prevRevision, ttl, value, source);
  };
}

/** Each row takes name and value from the one before it. */
function keyEnder(database: Connection): (deletions: PackedDeletions) => void {
  const end = database.prepare<[number, number]>(
    `INSERT INTO kine (id, name, created, deleted, create_revision, prev_revision, lease, value, old_value)
     SELECT ?, name, 0, 1, 0, id, 0, NULL, value FROM kine WHERE id = ?`,
  );
  // As kine fills a hole in the ids.
  const fill = database.prepare<[number, string]>(
    `INSERT INTO kine (id, name, created, deleted, create_revision, prev_revision, lease, value, old_value)
     VALUES (?, ?, 0, 1, 0, 0, 0, NULL, NULL)`,
  );
  return ({ first, rows }) => {
    for (const [i, row] of new Float64Array(rows).entries()) {
      const id = first + i;
      if (end.run(id, row).changes === 0) fill.run(id, `gap-${id}`);
    }
  };
}

function pruning(database: Connection) {
  const deleteRow = database.prepare("DELETE FROM kine WHERE id = ?");
  const deleteRowLease = database.prepare("DELETE FROM kine_lease_row WHERE row_id = ?");
  const deleteSpans = database.prepare(
    `DELETE FROM kine_span WHERE last_id <= ?
     AND NOT EXISTS (SELECT 1 FROM kine WHERE id BETWEEN kine_span.first_id AND kine_span.last_id)`,
  );
  return database.transaction(({ rows, spansUpTo }: Pruning) => {
    for (const row of rows) {
      deleteRow.run(row);
      deleteRowLease.run(row);
    }
    if (spansUpTo > 0) deleteSpans.run(spansUpTo);
    failpoint("sqlite.pruned");
  });
}

/** What a crash takes back here is found and removed again; the next commit makes it durable with its own rows. */
function withoutSync(database: Connection, configured: WorkerSettings["synchronous"], work: () => void): void {
  const isHigher = configured === "FULL" || configured === "EXTRA";
  if (isHigher) database.pragma("synchronous = NORMAL");
  try {
    work();
  } finally {
    if (isHigher) database.pragma(`synchronous = ${configured}`);
  }
}

function vacuum(database: Connection, mayRewrite: boolean): boolean {
  if (database.pragma("auto_vacuum", { simple: true }) !== INCREMENTAL) {
    if (mayRewrite) database.exec("VACUUM");
    return false;
  }
  database.pragma(`incremental_vacuum(${VACUUM_PAGES})`);
  return Number(database.pragma("freelist_count", { simple: true })) > 0;
}
