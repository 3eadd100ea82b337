import type { Logger } from "@k3s/log";
import type { PostgresSession } from "./postgres-session.ts";

/** What kine reads of the table; one of that name without these columns belongs to another program. */
const NEEDED = ["id", "name", "value", "ttl"];
/** The time to live that kine gives to keys that had any, in seconds. */
const COPIED_TTL_SECONDS = 15;

const READ_COLUMNS = {
  text: `SELECT attname::text FROM pg_attribute
         WHERE attrelid = to_regclass('key_value') AND attnum > 0 AND NOT attisdropped`,
};
const ANY_OLD_ROW = { text: "SELECT 1 FROM key_value LIMIT 1" };
const ANY_ROW = { text: "SELECT 1 FROM kine LIMIT 1" };

/**
 * Copies the newest state of each key from `key_value`, the table of kine's predecessor, while `kine` is empty: as kine does, as a new
 * key without a past, but without the keys that were deleted. In the transaction that the session is in.
 */
export async function copyOldTable(session: PostgresSession, log: Logger): Promise<void> {
  const columns = await readOldColumns(session);
  if (columns === undefined) return;
  if ((await session.query(ANY_ROW)).length > 0) return;
  await session.run("LOCK TABLE kine IN SHARE ROW EXCLUSIVE MODE"); // kine copies without our lock
  const isLive = columns.includes("del") ? "coalesce(kv.del, 0) = 0" : "true";
  const copy = `WITH copied AS (
      INSERT INTO kine (name, created, deleted, create_revision, prev_revision, lease, value)
      SELECT kv.name, 1, 0, 0, 0, CASE WHEN kv.ttl > 0 THEN ${COPIED_TTL_SECONDS} ELSE 0 END, kv.value FROM key_value kv
      WHERE kv.id IN (SELECT max(id) FROM key_value GROUP BY name) AND ${isLive} AND NOT EXISTS (SELECT 1 FROM kine)
      ORDER BY kv.id RETURNING 1)
    SELECT count(*) FROM copied`;
  const [[rows] = []] = await session.query({ text: copy });
  if (Number(rows) > 0) log.info({ table: "key_value", rows: Number(rows) }, "copied the rows of an old table to kine");
}

/** Whether rows wait there for a server to copy them. */
export async function hasUncopiedRows(
  session: PostgresSession,
  { hasKine }: { readonly hasKine: boolean },
): Promise<boolean> {
  if ((await readOldColumns(session)) === undefined) return false;
  if (hasKine && (await session.query(ANY_ROW)).length > 0) return false;
  return (await session.query(ANY_OLD_ROW)).length > 0;
}

/** Undefined: there is no such table of kine's predecessor. */
async function readOldColumns(session: PostgresSession): Promise<readonly string[] | undefined> {
  const columns = (await session.query(READ_COLUMNS)).map(([name]) => String(name));
  return NEEDED.every((name) => columns.includes(name)) ? columns : undefined;
}
