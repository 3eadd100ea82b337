import type { ChangedRow, LeaseRecord, RowHead, RowSpan } from "@k3s/datastore";
import type { SqlRow, SqlValue } from "./mysql-session.ts";

/** The columns that {@link toHead} takes, of the table `k`. */
export const HEAD_COLUMNS = "k.id,k.name,k.created,k.deleted,k.create_revision,k.prev_revision,k.lease";

/** A row head from {@link HEAD_COLUMNS}. Columns of kine's table can be NULL. */
export function toHead([id, name, created, deleted, createRevision, prevRevision, lease]: SqlRow): RowHead {
  return {
    id: toNumber(id),
    name: toText(name),
    created: toNumber(created) !== 0,
    deleted: toNumber(deleted) !== 0,
    createRevision: toNumber(createRevision),
    prevRevision: toNumber(prevRevision),
    ttlSeconds: toNumber(lease),
  };
}

/** A row from {@link HEAD_COLUMNS}, its lease and its value. */
export function toChangedRow(row: SqlRow): ChangedRow {
  const [lease, value] = row.slice(7);
  return { ...toHead(row), lease: toBigint(lease), value: Buffer.isBuffer(value) ? value : undefined };
}

/** A lease from the columns id, ttl, expires_at. */
export function toLease([id, ttl, expiresAt]: SqlRow): LeaseRecord {
  return { id: toBigint(id), ttlSeconds: toNumber(ttl), expiresAtMs: toNumber(expiresAt) };
}

/** A span from the columns first_id, last_id. */
export function toSpan([first, last]: SqlRow): RowSpan {
  return { first: toNumber(first), last: toNumber(last) };
}

/** NULL counts as 0. */
export function toNumber(value: SqlValue | undefined): number {
  return Number(value ?? 0);
}

/** NULL counts as 0. Exact for all 64 bits. */
export function toBigint(value: SqlValue | undefined): bigint {
  return BigInt(typeof value === "number" || typeof value === "string" ? value : 0);
}

/** NULL counts as empty. Old tables can give bytes for text. */
export function toText(value: SqlValue | undefined): string {
  return value === null || value === undefined ? "" : value.toString();
}
