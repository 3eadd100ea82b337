import { statSync } from "node:fs";
import type { DatabaseSize, LeaseRecord, Position, RowSpan } from "@k3s/datastore";
import { failpoint } from "@k3s/failpoints";
import type { Connection } from "./connection.ts";
import { packHeads, type RawHead } from "./packed-heads.ts";
import { FIND_MARKER, headsSource } from "./schema.ts";
import type { CheckpointResult, PackedColumns, PackedSide, PackedValues } from "./worker-protocol.ts";

export interface ReaderOperations {
  heads(page: { readonly after: number; readonly limit: number }): PackedColumns;
  side(): PackedSide;
  values(rows: readonly number[]): PackedValues;
  position(): Position;
  size(): DatabaseSize;
  integrity(): readonly string[];
  findings(): readonly string[];
  checkpoint(options: { readonly truncate: boolean }): CheckpointResult;
}

/**
 * What only reads, and the write-back of the log, which must not hold up the writer.
 * Rows are found by id alone: files of old kine declare `name INTEGER`, where text bounds are not compared as text.
 */
export function readerOperations(database: Connection): ReaderOperations {
  const values = valueReader(database);
  return {
    heads: (page) => packHeads(readHeads(database, page)),
    side: () => readSide(database),
    values: (rows) => packValues(values(rows)),
    position: positionReader(database),
    size: () => readSize(database),
    integrity: () => checkIntegrity(database),
    findings: () => findDuplicates(database),
    checkpoint: ({ truncate }) => checkpoint(database, truncate),
  };
}

/** Prepared each time: the index may come or go meanwhile. */
function readHeads(
  database: Connection,
  { after, limit }: { readonly after: number; readonly limit: number },
): RawHead[] {
  const columns = "id, name, created, deleted, create_revision, prev_revision, lease";
  const select = `SELECT ${columns} FROM ${headsSource(database)} WHERE id > ? ORDER BY id LIMIT ?`;
  return database.prepare<[number, number]>(select).raw().all(after, limit) as unknown as RawHead[]; // sound: these columns
}

function readSide(database: Connection): PackedSide {
  if (!hasSideTables(database)) return { leases: [], rowLeases: [], spans: [] };
  const all = <T>(sql: string) => database.prepare<[], T>(sql).safeIntegers().all();
  const leases = all<{ id: bigint; ttl: bigint; expires_at: bigint }>("SELECT id, ttl, expires_at FROM kine_lease");
  const rows = all<{ row_id: bigint; lease: bigint }>("SELECT row_id, lease FROM kine_lease_row");
  const spans = all<{ first_id: bigint; last_id: bigint }>("SELECT first_id, last_id FROM kine_span ORDER BY last_id");
  return {
    leases: leases.map((lease): LeaseRecord => ({
      id: lease.id,
      ttlSeconds: Number(lease.ttl),
      expiresAtMs: Number(lease.expires_at),
    })),
    rowLeases: rows.map(({ row_id, lease }) => [Number(row_id), lease] as const),
    spans: spans.map((span): RowSpan => ({ first: Number(span.first_id), last: Number(span.last_id) })),
  };
}

/** A reader does not make them, and kine has none. */
function hasSideTables(database: Connection): boolean {
  return database.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'kine_lease'").get() !== undefined;
}

function checkIntegrity(database: Connection): readonly string[] {
  try {
    const rows = database.pragma("integrity_check(20)") as { integrity_check: string }[];
    return rows.map((row) => row.integrity_check).filter((finding) => finding !== "ok");
  } catch (error) {
    // Some damage ends the check itself.
    if (error instanceof Error && "code" in error && String(error.code).startsWith("SQLITE_CORRUPT"))
      return [error.message];
    throw error;
  }
}

/** NULL equals nothing. */
const COUNT_DUPLICATES = `SELECT coalesce(sum(copies - 1), 0) FROM (
  SELECT count(*) AS copies FROM kine WHERE name IS NOT NULL AND prev_revision IS NOT NULL
  GROUP BY name, prev_revision HAVING copies > 1)`;

function findDuplicates(database: Connection): readonly string[] {
  const duplicates = database.prepare<[], number>(COUNT_DUPLICATES).pluck().get() ?? 0;
  if (duplicates === 0) return [];
  return [
    `${duplicates} rows are replaced by a newer row that follows the same row of the same key, as when two programs change it at once`,
  ];
}

/** Reads values of rows by id. Begins with no further one once those before it have `maxBytes`. Default: no limit. */
type ValueReader = (rows: readonly number[], maxBytes?: number) => (Buffer | undefined)[];

/** Reads the values of rows by id: undefined where there is no such row, empty where it has none. */
export function valueReader(database: Connection): ValueReader {
  const select = database
    .prepare<[number], Buffer | string | number | null>("SELECT value FROM kine WHERE id = ?")
    .pluck();
  const get = (row: number) => {
    const value = select.get(row);
    if (value === undefined) return undefined;
    return Buffer.isBuffer(value) ? value : Buffer.from(value === null ? "" : String(value));
  };
  // One transaction: outside of one each statement locks the file and looks for changes anew, which costs more than the row.
  return database.transaction((rows: readonly number[], maxBytes = Infinity) => {
    const values: (Buffer | undefined)[] = [];
    let bytes = 0;
    for (const row of rows) {
      if (bytes >= maxBytes) break;
      const value = get(row);
      values.push(value);
      bytes += value?.length ?? 0;
    }
    return values;
  });
}

function packValues(values: readonly (Buffer | undefined)[]): PackedValues {
  const lengths = values.map((value) => value?.length ?? -1);
  const bytes = new Uint8Array(lengths.reduce((sum, length) => sum + Math.max(length, 0), 0));
  let offset = 0;
  for (const value of values) {
    if (value === undefined) continue;
    bytes.set(value, offset);
    offset += value.length;
  }
  return { lengths, bytes: bytes.buffer };
}

/** The marker's row is looked for once, as for moving it. */
function positionReader(database: Connection): () => Position {
  const last = database.prepare<[], number | null>("SELECT max(id) FROM kine").pluck();
  const find = database.prepare<[], number>(FIND_MARKER).pluck();
  const read = database
    .prepare<[number], number>("SELECT coalesce(prev_revision, 0) FROM kine WHERE id = ? AND name = 'compact_rev_key'")
    .pluck();
  let marker: number | undefined;
  const compacted = () => (marker === undefined ? undefined : read.get(marker));
  return database.transaction(() => {
    if (compacted() === undefined) marker = find.get();
    return { lastRow: last.get() ?? 0, compactRevision: compacted() ?? 0 };
  });
}

function readSize(database: Connection): DatabaseSize {
  const number = (pragma: string) => Number(database.pragma(pragma, { simple: true }));
  const pageBytes = number("page_size");
  const pages = number("page_count");
  return { totalBytes: pages * pageBytes, inUseBytes: (pages - number("freelist_count")) * pageBytes };
}

function checkpoint(database: Connection, truncate: boolean): CheckpointResult {
  failpoint("sqlite.checkpoint");
  const [result] = database.pragma(`wal_checkpoint(${truncate ? "TRUNCATE" : "PASSIVE"})`) as { busy: number }[];
  const wal = statSync(`${database.name}-wal`, { throwIfNoEntry: false });
  return { busy: result?.busy !== 0, walBytes: wal?.size ?? 0 };
}
