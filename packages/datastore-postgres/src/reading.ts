import type { ChangedRow, DatabaseSize, LeaseRecord, Position, RowHead, RowSpan, SideState } from "@k3s/datastore";
import type { RowPage } from "@k3s/datastore-sql";
import type { Cell, PostgresSession, Row } from "./postgres-session.ts";

const HEAD = "k.id, k.name, k.created, k.deleted, k.create_revision, k.prev_revision, k.lease";

const HEADS = {
  name: "heads",
  text: `SELECT ${HEAD} FROM kine k WHERE k.id > $1 ORDER BY k.id LIMIT $2`,
};
// Lease ids are full 64-bit numbers: they travel as text.
const ROWS = {
  name: "rows",
  text: `SELECT ${HEAD}, l.lease::text, k.value FROM kine k LEFT JOIN kine_lease_row l ON l.row_id = k.id
         WHERE k.id > $1 ORDER BY k.id LIMIT $2`,
};
const SPANS = {
  name: "spans",
  text: "SELECT first_id, last_id FROM kine_span WHERE last_id > $1 AND first_id <= $2 ORDER BY last_id",
};
const ALL_SPANS = { text: "SELECT first_id, last_id FROM kine_span ORDER BY last_id" };
const LEASES = { name: "leases", text: "SELECT id::text, ttl, expires_at FROM kine_lease" };
const ROW_LEASES = { text: "SELECT row_id, lease::text FROM kine_lease_row ORDER BY row_id" };
const SIDE_TABLES = ["kine_lease", "kine_lease_row", "kine_span"];
const THERE = { text: "SELECT name FROM unnest($1::text[]) AS t (name) WHERE to_regclass(name) IS NOT NULL" };
const VALUES = { name: "values", text: "SELECT id, value FROM kine WHERE id = ANY($1::bigint[])" };
const PRESENT = { name: "present", text: "SELECT id FROM kine WHERE id = ANY($1::bigint[])" };
const POSITION = {
  name: "position",
  text: `SELECT (SELECT max(id) FROM kine),
           (SELECT max(prev_revision) FROM kine WHERE name = 'compact_rev_key')`,
};
const CLOCK = { name: "clock", text: "SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint" };
const HAS_MARKER = { text: "SELECT 1 FROM kine WHERE name = 'compact_rev_key' LIMIT 1" };
// Rows that are deleted but not yet cleared away count as free.
const SIZE = {
  text: `SELECT sum(total)::bigint, sum(total * share)::bigint FROM (
           SELECT pg_total_relation_size(relid) AS total,
             CASE WHEN n_live_tup + n_dead_tup > 0 THEN n_live_tup::float8 / (n_live_tup + n_dead_tup) ELSE 1 END AS share
           FROM pg_stat_user_tables
           WHERE relid IN (to_regclass('kine'), to_regclass('kine_lease'), to_regclass('kine_lease_row'), to_regclass('kine_span'))
         ) AS t`,
};

export async function readHeads(session: PostgresSession, { after, limit }: RowPage): Promise<readonly RowHead[]> {
  return (await session.query(HEADS, [after, limit])).map(toHead);
}

export async function readRows(session: PostgresSession, { after, limit }: RowPage): Promise<readonly ChangedRow[]> {
  const rows = await session.query(ROWS, [after, limit]);
  return rows.map((row) => ({ ...toHead(row), lease: toBigInt(row[7]), value: toBuffer(row[8]) }));
}

export async function readSpans(
  session: PostgresSession,
  { after, upTo }: { readonly after: number; readonly upTo: number },
): Promise<readonly RowSpan[]> {
  return (await session.query(SPANS, [after, upTo])).map(toSpan);
}

/** As of one moment. */
export async function readSide(session: PostgresSession): Promise<SideState> {
  await session.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
  try {
    return await readSideOf(session, SIDE_TABLES);
  } finally {
    await session.run("COMMIT"); // of a failed transaction the server takes it for the end as well
  }
}

/** In the transaction that the session is in; nothing of tables that are not there, because only kine has used the database. */
export async function readSideInTransaction(session: PostgresSession): Promise<SideState> {
  return await readSideOf(
    session,
    (await session.query(THERE, [SIDE_TABLES])).map(([name]) => String(name)),
  );
}

async function readSideOf(session: PostgresSession, tables: readonly string[]): Promise<SideState> {
  const all = async <T>(table: string, read: () => Promise<readonly T[]>) =>
    tables.includes(table) ? await read() : [];
  const leases = await all("kine_lease", () => readLeases(session));
  const rowLeases = await all("kine_lease_row", () => session.query(ROW_LEASES));
  const spans = await all("kine_span", () => session.query(ALL_SPANS));
  const entries = rowLeases.map(([id, lease]) => [Number(id), toBigInt(lease)] as const);
  return { leases, rowLeases: new Map(entries), spans: spans.map(toSpan) };
}

export async function readLeases(session: PostgresSession): Promise<readonly LeaseRecord[]> {
  const rows = await session.query(LEASES);
  return rows.map(([id, ttl, end]) => ({ id: toBigInt(id), ttlSeconds: Number(ttl), expiresAtMs: Number(end) }));
}

export async function readClockMs(session: PostgresSession): Promise<number> {
  const [row] = await session.query(CLOCK);
  return Number(row?.[0]);
}

export async function readValues(
  session: PostgresSession,
  ids: readonly number[],
): Promise<ReadonlyMap<number, Buffer>> {
  const rows = await session.query(VALUES, [ids]);
  return new Map(rows.map(([id, value]) => [Number(id), toBuffer(value) ?? Buffer.alloc(0)]));
}

export async function readPresent(session: PostgresSession, ids: readonly number[]): Promise<readonly number[]> {
  return (await session.query(PRESENT, [ids])).map(([id]) => Number(id));
}

export async function readPosition(session: PostgresSession): Promise<Position> {
  const [row] = await session.query(POSITION);
  return { lastRow: Number(row?.[0] ?? 0), compactRevision: Number(row?.[1] ?? 0) };
}

export async function readHasMarker(session: PostgresSession): Promise<boolean> {
  return (await session.query(HAS_MARKER)).length > 0;
}

export async function readSize(session: PostgresSession): Promise<DatabaseSize> {
  const [row] = await session.query(SIZE);
  return { totalBytes: Number(row?.[0] ?? 0), inUseBytes: Number(row?.[1] ?? 0) };
}

function toHead([id, name, created, deleted, createRevision, prevRevision, lease]: Row): RowHead {
  return {
    id: Number(id),
    name: toText(name),
    created: Number(created ?? 0) !== 0,
    deleted: Number(deleted ?? 0) !== 0,
    createRevision: Number(createRevision ?? 0),
    prevRevision: Number(prevRevision ?? 0),
    ttlSeconds: Number(lease ?? 0),
  };
}

function toSpan([first, last]: Row): RowSpan {
  return { first: Number(first), last: Number(last) };
}

function toText(cell: Cell | undefined): string {
  return typeof cell === "string" ? cell : "";
}

function toBigInt(cell: Cell | undefined): bigint {
  return typeof cell === "string" ? BigInt(cell) : 0n;
}

function toBuffer(cell: Cell | undefined): Buffer | undefined {
  return Buffer.isBuffer(cell) ? cell : undefined;
}
