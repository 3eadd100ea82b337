import type { CommitBatch } from "@k3s/datastore";
import { batchRows, neededLeases, TABLE_WAIT_MS } from "@k3s/datastore-sql";
import type { NameColumn } from "./column-name.ts";
import { insertRows } from "./insert-rows.ts";

/** Rows of a side table that go into one statement. */
const SIDE_ROWS = 1000;

/**
 * Takes the one lock, and changes the row: nodes of a Galera cluster know nothing of each other's row locks, but refuse the later
 * one of two transactions that changed the same row.
 */
export const TAKE_LOCK = "UPDATE kine_lock SET turn=turn+1 WHERE id=1";
/** A server that stops while it has the lock loses its connection, and with it the lock, after three seconds. */
export const LIMIT_WAIT = "SET SESSION wait_timeout=3";
export const UNLIMIT_WAIT = "SET SESSION wait_timeout=@k3s_wait_timeout";

/** By the names that statements give them. */
const TABLES = ["kine", "kine k", "kine m", "kine p", "kine_lease", "kine_lease_row", "kine_lease_row l", "kine_span"];
/** MySQL waits whole seconds. */
const TABLE_WAIT_SECONDS = Math.ceil(TABLE_WAIT_MS / 1000);

/** Waits until the claims of servers have ended that are held now. The tables cannot be taken in the same transaction: that ends it. */
export const AWAIT_TURN = ["START TRANSACTION", TAKE_LOCK, "COMMIT"];
/**
 * Instead of the one lock, for everybody, after {@link AWAIT_TURN}: who writes takes an id when the table is free, so that nobody
 * has one on the way while it is ours. All others queue up behind this until those have ended that use the table: not for long.
 */
export const TAKE_TABLES = [
  `SET SESSION autocommit=0,lock_wait_timeout=${TABLE_WAIT_SECONDS}`,
  `LOCK TABLES ${TABLES.map((table) => `${table} WRITE`).join(",")}`,
];
export const GIVE_TABLES = ["UNLOCK TABLES", "SET SESSION autocommit=1,lock_wait_timeout=@k3s_lock_wait_timeout"];

/**
 * A renewal that was told is not taken back by one that comes late, nor by who gives the same lease to a row of kine's at the same time. It
 * changes what is stored also when the clock has gone back: by that other servers know that the lease is not due.
 */
const LATER_END = " ON DUPLICATE KEY UPDATE ttl=VALUES(ttl),expires_at=GREATEST(expires_at+1,VALUES(expires_at))";

/** Error 1242: the sub-select of a condition gave two rows. */
export const CONDITION_FAILED = 1242;

/** Statements that fail with {@link CONDITION_FAILED} unless the batch was planned on what is in the table. Under the lock only. */
export function conditionsOf(batch: CommitBatch): string[] {
  const isGuarded = batch.rows.length > 0 || batch.endedLeases.length > 0;
  const isLast = failIf(`COALESCE((SELECT MAX(id) FROM kine),0)<>${batch.after}`);
  const { anyEnd, sameEnd, count } = neededLeases(batch);
  const due = sameEnd.map(({ id, expiresAtMs }) => `id=${id} AND expires_at=${Math.round(expiresAtMs)}`);
  const stored = [...(anyEnd.length > 0 ? [`id IN (${anyEnd.join(",")})`] : []), ...due].join(" OR ");
  const areStored = failIf(`(SELECT COUNT(*) FROM kine_lease WHERE ${stored})<>${count}`);
  return [...(isGuarded ? [isLast] : []), ...(count > 0 ? [areStored] : [])];
}

/** What the batch writes, in the order in which it has to be written. */
export function writesOf(batch: CommitBatch, column: NameColumn): string[] {
  const { rows, rowLeases } = batchRows(batch);
  const leases = batch.leases.map(
    ({ id, ttlSeconds, expiresAtMs }) => `(${id},${ttlSeconds},${Math.round(expiresAtMs)})`,
  );
  const { compactRevision: marker } = batch;
  return [
    ...insertRows(rows, column),
    ...inParts(leases, (part) => `INSERT INTO kine_lease (id,ttl,expires_at) VALUES ${part}${LATER_END}`),
    ...inParts(batch.endedLeases, (part) => `DELETE FROM kine_lease WHERE id IN (${part})`),
    ...inParts(
      rowLeases.map(([row, lease]) => `(${row},${lease})`),
      (part) => `REPLACE INTO kine_lease_row (row_id,lease) VALUES ${part}`,
    ),
    ...inParts(
      batch.spans.map(({ first, last }) => `(${last},${first})`),
      (part) => `REPLACE INTO kine_span (last_id,first_id) VALUES ${part}`,
    ),
    ...(marker === undefined
      ? []
      : [`UPDATE kine SET prev_revision=${marker} WHERE name='compact_rev_key' AND prev_revision<${marker}`]),
  ];
}

/** Cuts a long list into statements. */
export function inParts(items: readonly unknown[], statement: (part: string) => string): string[] {
  const parts: string[] = [];
  for (let at = 0; at < items.length; at += SIDE_ROWS) parts.push(statement(items.slice(at, at + SIDE_ROWS).join(",")));
  return parts;
}

function failIf(condition: string): string {
  return `SELECT (SELECT 1 FROM (SELECT 1 UNION ALL SELECT 2) two WHERE ${condition})`;
}
