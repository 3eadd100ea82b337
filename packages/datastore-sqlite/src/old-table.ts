import type { Connection } from "./connection.ts";

/** What kine reads of the table; one of that name without these columns belongs to another program. */
const NEEDED = ["id", "name", "value", "ttl"];
/** The time to live that kine gives to keys that had any, in seconds. */
const COPIED_TTL_SECONDS = 15;

/**
 * Copies the newest state of each key from `key_value`, the table of kine's predecessor, while `kine` is empty: as kine does, as a new
 * key without a past, but without the keys that were deleted. Answers with the number of copied rows.
 */
export function copyOldTable(database: Connection): number {
  const columns = readColumns(database, "key_value");
  if (!isOldTable(columns) || hasRows(database, "kine")) return 0;
  const isLive = columns.includes("del") ? "coalesce(kv.del, 0) = 0" : "1";
  const copy = `INSERT INTO kine (name, created, deleted, create_revision, prev_revision, lease, value)
    SELECT kv.name, 1, 0, 0, 0, CASE WHEN kv.ttl > 0 THEN ${COPIED_TTL_SECONDS} ELSE 0 END, kv.value FROM key_value kv
    WHERE kv.id IN (SELECT max(id) FROM key_value GROUP BY name) AND ${isLive} ORDER BY kv.id`;
  return database.prepare(copy).run().changes;
}

/** Whether rows wait there for a server to copy them. */
export function hasUncopiedRows(database: Connection): boolean {
  if (!isOldTable(readColumns(database, "key_value"))) return false;
  const hasKine = readColumns(database, "kine").length > 0;
  return !(hasKine && hasRows(database, "kine")) && hasRows(database, "key_value");
}

type Table = "kine" | "key_value";

/** None where there is no such table. */
function readColumns(database: Connection, table: Table): readonly string[] {
  return database.prepare<[], string>(`SELECT name FROM pragma_table_info('${table}')`).pluck().all();
}

function isOldTable(columns: readonly string[]): boolean {
  return NEEDED.every((name) => columns.includes(name));
}

function hasRows(database: Connection, table: Table): boolean {
  return database.prepare(`SELECT 1 FROM ${table} LIMIT 1`).get() !== undefined;
}
