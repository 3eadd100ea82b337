import type { DatabaseSize } from "@k3s/datastore";
import { errorNumber } from "./classify.ts";
import type { MysqlSession, SqlRow } from "./mysql-session.ts";
import { toNumber } from "./read-rows.ts";

const TABLE = "information_schema.TABLES WHERE TABLE_SCHEMA=DATABASE() AND TABLE_NAME='kine'";
/** ER_UNKNOWN_TABLE and ER_SPECIFIC_ACCESS_DENIED_ERROR: which of the two views there is depends on the product. */
const NO_VIEW = new Set([1109, 1227, 1146, 1142]);

/**
 * The size of the table's file, which is current, or where the user may not see it, the server's estimate, which lags behind. Of the
 * file, what the server calls free is not in use.
 */
export async function readSize(session: MysqlSession): Promise<DatabaseSize> {
  const [estimate] = await session.select(`SELECT DATA_LENGTH+INDEX_LENGTH,DATA_FREE FROM ${TABLE}`);
  const [used, free] = (estimate ?? []).map(toNumber);
  const file = await fileBytes(session);
  if (file === undefined) return { totalBytes: (used ?? 0) + (free ?? 0), inUseBytes: used ?? 0 };
  return { totalBytes: file, inUseBytes: Math.max(file - (free ?? 0), 0) };
}

async function fileBytes(session: MysqlSession): Promise<number | undefined> {
  const isMaria = session.variables.get("version")?.includes("MariaDB") === true;
  const view = isMaria ? "INNODB_SYS_TABLESPACES" : "INNODB_TABLESPACES";
  const sql = `SELECT FILE_SIZE FROM information_schema.${view} WHERE NAME=CONCAT(DATABASE(),'/kine')`;
  const rows = await session.select(sql).catch((error: unknown): readonly SqlRow[] => {
    if (NO_VIEW.has(errorNumber(error) ?? 0)) return [];
    throw error;
  });
  return rows[0] === undefined ? undefined : toNumber(rows[0][0]);
}
