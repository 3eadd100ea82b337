import type { Logger } from "@k3s/log";
import { isForbidden, isPassing } from "./classify.ts";
import { TAKE_LOCK } from "./commit-statements.ts";
import { MysqlError } from "./errors.ts";
import type { MysqlSession } from "./mysql-session.ts";
import { runSoon } from "./opening-limits.ts";
import { toNumber, toText } from "./read-rows.ts";

/** What kine reads of the table; one of that name without these columns belongs to another program. */
const NEEDED = ["id", "name", "value", "ttl"];
/** The time to live that kine gives to keys that had any, in seconds. */
const COPIED_TTL_SECONDS = 15;

const READ_COLUMNS =
  "SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA=DATABASE() AND TABLE_NAME='key_value'";

/**
 * Copies the newest state of each key from `key_value`, the table of kine's predecessor, while `kine` is empty: as kine does, as a new
 * key without a past, but without the keys that were deleted. Rejects with MysqlError when a row does not fit.
 */
export async function copyOldTable(session: MysqlSession, log: Logger): Promise<void> {
  const columns = await runSoon(session, () => readOldColumns(session));
  if (columns === undefined || (await runSoon(session, () => hasRows(session, "kine")))) return;
  const isLive = columns.includes("del") ? "COALESCE(kv.del,0)=0" : "TRUE";
  // Kubernetes tells keys apart that differ in letter case, the collation of the old table may not.
  const newest = "SELECT MAX(id) FROM key_value GROUP BY CAST(name AS BINARY)";
  const copy = `INSERT INTO kine (name,created,deleted,create_revision,prev_revision,lease,value)
    SELECT kv.name,1,0,0,0,CASE WHEN kv.ttl>0 THEN ${COPIED_TTL_SECONDS} ELSE 0 END,kv.value FROM key_value kv
    WHERE kv.id IN (${newest}) AND ${isLive} AND NOT EXISTS (SELECT 1 FROM kine) ORDER BY kv.id`;
  try {
    const [counts] = await session.selectAll(["START TRANSACTION", TAKE_LOCK, copy, "SELECT ROW_COUNT()", "COMMIT"]);
    const rows = toNumber(counts?.[0]?.[0]);
    if (rows > 0) log.info({ table: "key_value", rows }, "copied the rows of an old table to kine");
  } catch (error) {
    throw isPassing(error) || isForbidden(error) ? error : MysqlError.oldTable(error);
  }
}

/** Whether rows wait there for a server to copy them. */
export async function hasUncopiedRows(
  session: MysqlSession,
  { hasKine }: { readonly hasKine: boolean },
): Promise<boolean> {
  if ((await readOldColumns(session)) === undefined) return false;
  if (hasKine && (await hasRows(session, "kine"))) return false;
  return await hasRows(session, "key_value");
}

/** Undefined: there is no such table of kine's predecessor. */
async function readOldColumns(session: MysqlSession): Promise<readonly string[] | undefined> {
  const columns = (await session.select(READ_COLUMNS)).map(([name]) => toText(name).toLowerCase());
  return NEEDED.every((name) => columns.includes(name)) ? columns : undefined;
}

async function hasRows(session: MysqlSession, table: "kine" | "key_value"): Promise<boolean> {
  return (await session.select(`SELECT 1 FROM ${table} LIMIT 1`)).length > 0;
}
