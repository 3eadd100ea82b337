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
  const columns = database.prepare<[], string>("SELECT name FROM pragma_table_info('key_value')").pluck().all();
  if (NEEDED.some((name) => !columns.includes(name))) return 0;
  if (database.prepare("SELECT 1 FROM kine LIMIT 1").get() !== undefined) return 0;
  const isLive = columns.includes("del") ? "coalesce(kv.del, 0) = 0" : "1";
  const copy = `INSERT INTO kine (name, created, deleted, create_revision, prev_revision, lease, value)
    SELECT kv.name, 1, 0, 0, 0, CASE WHEN kv.ttl > 0 THEN ${COPIED_TTL_SECONDS} ELSE 0 END, kv.value FROM key_value kv
    WHERE kv.id IN (SELECT max(id) FROM key_value GROUP BY name) AND ${isLive} ORDER BY kv.id`;
  return database.prepare(copy).run().changes;
}
