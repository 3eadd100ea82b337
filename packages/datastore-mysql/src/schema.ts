import type { Logger } from "@k3s/log";
import { errorNumber, isForbidden, isPassing } from "./classify.ts";
import type { NameColumn } from "./column-name.ts";
import { MysqlError } from "./errors.ts";
import type { MysqlSession } from "./mysql-session.ts";
import { copyOldTable } from "./old-table.ts";
import { lengthenLockWaits, limitLockWaits, runSoon } from "./opening-limits.ts";
import { toText } from "./read-rows.ts";
import { textLiteral } from "./sql-text.ts";

/** What a table of some generation of kine can hold. */
export interface TableLayout {
  readonly name: NameColumn;
  /** Largest id. */
  readonly idMax: number;
  /** Bytes of the longest value. */
  readonly valueMax: number;
}

export const MIGRATE_IDS =
  "ALTER TABLE kine MODIFY id BIGINT UNSIGNED AUTO_INCREMENT, MODIFY create_revision BIGINT UNSIGNED, MODIFY prev_revision BIGINT UNSIGNED";

/** Cure for tables from before November 2019. */
export const MIGRATE_VALUES = "ALTER TABLE kine MODIFY value MEDIUMBLOB, MODIFY old_value MEDIUMBLOB";

/** The statement with which the table tells all keys apart, in the character set that their names are written in. */
export function migrateNames({ charset }: Pick<NameColumn, "charset">): string {
  return `ALTER TABLE kine MODIFY name VARCHAR(630) CHARACTER SET ${charset} COLLATE ${charset}_bin`;
}

const COLUMNS = ["id", "name", "created", "deleted", "create_revision", "prev_revision", "lease", "value", "old_value"];
const UNIQUE = "kine_name_prev_revision_uindex";

// Kine's columns and indexes. Kine looks for the table only, so all of its indexes are made here; its own column `name` has the
// default collation of ascii, which ignores letter case.
const KINE = `CREATE TABLE IF NOT EXISTS kine (
  id BIGINT UNSIGNED AUTO_INCREMENT,
  name VARCHAR(630) CHARACTER SET ascii COLLATE ascii_bin,
  created INTEGER,
  deleted INTEGER,
  create_revision BIGINT UNSIGNED,
  prev_revision BIGINT UNSIGNED,
  lease INTEGER,
  value MEDIUMBLOB,
  old_value MEDIUMBLOB,
  PRIMARY KEY (id),
  INDEX kine_name_index (name),
  INDEX kine_name_id_index (name,id),
  INDEX kine_id_deleted_index (id,deleted),
  INDEX kine_prev_revision_index (prev_revision),
  UNIQUE INDEX ${UNIQUE} (name,prev_revision)
) ENGINE=InnoDB`;

/** Kine's table, what it has no column for, and the row that commits lock; kine ignores the other tables. */
const TABLES: Readonly<Record<string, string>> = {
  kine: KINE,
  kine_lease:
    "CREATE TABLE IF NOT EXISTS kine_lease (id BIGINT PRIMARY KEY, ttl BIGINT NOT NULL, expires_at BIGINT NOT NULL) ENGINE=InnoDB",
  kine_lease_row:
    "CREATE TABLE IF NOT EXISTS kine_lease_row (row_id BIGINT UNSIGNED PRIMARY KEY, lease BIGINT NOT NULL) ENGINE=InnoDB",
  kine_span:
    "CREATE TABLE IF NOT EXISTS kine_span (last_id BIGINT UNSIGNED PRIMARY KEY, first_id BIGINT UNSIGNED NOT NULL) ENGINE=InnoDB",
  kine_lock:
    "CREATE TABLE IF NOT EXISTS kine_lock (id TINYINT PRIMARY KEY, turn BIGINT UNSIGNED NOT NULL) ENGINE=InnoDB",
};
const LOCK_ROW = "INSERT IGNORE INTO kine_lock (id,turn) VALUES (1,0)";
const READ_TABLES = `SELECT TABLE_NAME FROM information_schema.TABLES
  WHERE TABLE_SCHEMA=DATABASE() AND TABLE_NAME IN (${Object.keys(TABLES).map(textLiteral).join()})`;

/** Above the largest request that the etcd API takes (1.5 MiB). It only tells BLOB (64 KiB) from the larger types: 16 MiB and more. */
const VALUE_BYTES = 2 * 1024 * 1024;

/** ER_DUP_KEYNAME: another server was faster. */
const EXISTS = 1061;
/** ER_DUP_ENTRY. */
const DUPLICATE = 1062;
/** As `k.name` has them, whatever its collation. */
export const NAME_BYTES = "CAST(k.name AS BINARY)";

/**
 * Makes the tables, or takes those of any kine. Rejects with MysqlError when the table is something else. What works on all rows may take
 * its time; whatever else does not answer soon is given up with the session.
 */
export async function prepareSchema(session: MysqlSession, log: Logger): Promise<TableLayout> {
  await runSoon(session, () => createMissing(session));
  const columns = await runSoon(session, () => readColumns(session));
  assertKnown(columns);
  const engine = await runSoon(session, () => readEngine(session));
  if (!isTransactional(engine)) throw MysqlError.otherEngine(engine);
  await ensureUnique(session, nameColumnOf(columns), log);
  await copyOldTable(session, log);
  return layoutOf(columns, log);
}

/** The server wants the privilege CREATE also where `IF NOT EXISTS` makes nothing. Another server may be making the same tables. */
async function createMissing(session: MysqlSession): Promise<void> {
  const present = new Set((await session.select(READ_TABLES)).map(([name]) => toText(name)));
  const missing = Object.keys(TABLES).filter((name) => !present.has(name));
  await session.run([...missing.map((name) => TABLES[name] ?? ""), LOCK_ROW]);
}

/** A column of the table as the server describes it. */
export interface Column {
  readonly name: string;
  readonly type: string;
  readonly charset: string;
  readonly collation: string;
  readonly maxBytes: number;
}

/** The columns of the table; none where there is no table. */
export async function readColumns(session: MysqlSession): Promise<readonly Column[]> {
  const wanted = "COLUMN_NAME,COLUMN_TYPE,CHARACTER_SET_NAME,COLLATION_NAME,CHARACTER_MAXIMUM_LENGTH";
  const rows = await session.select(
    `SELECT ${wanted} FROM information_schema.COLUMNS WHERE TABLE_SCHEMA=DATABASE() AND TABLE_NAME='kine' ORDER BY ORDINAL_POSITION`,
  );
  return rows.map(([name, type, charset, collation, length]) => ({
    name: toText(name).toLowerCase(),
    type: toText(type).toLowerCase(),
    charset: toText(charset),
    collation: toText(collation),
    maxBytes: Number(length ?? 0),
  }));
}

/** Throws MysqlError when the table is none of kine's. */
export function assertKnown(columns: readonly Column[]): void {
  const names = columns.map(({ name }) => name);
  if (names.join() !== COLUMNS.join()) throw MysqlError.otherSchema(`its columns are ${names.join(", ")}`);
}

/** Name of the table's storage engine. */
export async function readEngine(session: MysqlSession): Promise<string> {
  const [row] = await session.select(
    "SELECT ENGINE FROM information_schema.TABLES WHERE TABLE_SCHEMA=DATABASE() AND TABLE_NAME='kine'",
  );
  return toText(row?.[0]);
}

/** Whether a server can work with that engine. */
export function isTransactional(engine: string): boolean {
  return engine.toLowerCase() === "innodb";
}

/** Whether the table has the index that keeps two states from following the same one. */
export async function hasUnique(session: MysqlSession): Promise<boolean> {
  return (await session.select(`SHOW INDEX FROM kine WHERE Key_name='${UNIQUE}'`)).length > 0;
}

/**
 * Very old tables lack the unique index and can hold a state of a key twice: kine reads the newer one. Names are compared by their bytes,
 * whatever the collation: keys that differ in letter case are not one. With both of them the index cannot be made before the names are
 * migrated.
 */
async function ensureUnique(session: MysqlSession, column: Column, log: Logger): Promise<void> {
  if (await runSoon(session, () => hasUnique(session))) return;
  const isText = column.type.includes("text");
  log.warn({ table: "kine" }, "the table has no unique index, making it; rows that are there twice lose the older one");
  const newest = `SELECT MAX(id) id,${NAME_BYTES} bytes,prev_revision FROM kine k GROUP BY bytes,prev_revision HAVING COUNT(*)>1`;
  const pair = `${NAME_BYTES}=d.bytes AND k.prev_revision=d.prev_revision AND k.id<d.id`;
  await session.run([`DELETE k FROM kine k JOIN (${newest}) d ON ${pair}`]);
  await lengthenLockWaits(session);
  try {
    await session.run([`CREATE UNIQUE INDEX ${UNIQUE} ON kine (name${isText ? "(630)" : ""},prev_revision)`]);
  } catch (error) {
    if (errorNumber(error) === DUPLICATE) throw MysqlError.looseNames(migrateNames({ charset: column.charset }), error);
    if (isPassing(error) || isForbidden(error)) throw error;
    if (errorNumber(error) !== EXISTS) throw MysqlError.noUniqueIndex(error);
  }
  await limitLockWaits(session);
}

/** What the columns can hold; tells the log of old types. */
export function layoutOf(columns: readonly Column[], log: Logger): TableLayout {
  const name = nameColumnOf(columns);
  const revisions = columns.filter((column) => ["id", "create_revision", "prev_revision"].includes(column.name));
  const idMax = Math.min(...revisions.map(largest));
  const valueMax = Math.min(...columns.filter((column) => /^(old_)?value$/.test(column.name)).map(longest));
  if (valueMax < VALUE_BYTES)
    log.warn({ valueMax, hint: `Stop all servers and run: ${MIGRATE_VALUES}` }, "the table cannot hold large values");
  const isLoose = !/_bin$|^binary$/.test(name.collation);
  if (idMax < Number.MAX_SAFE_INTEGER)
    log.warn({ idMax, hint: `Stop all servers and run: ${MIGRATE_IDS}` }, "the table ends at a 32-bit id");
  if (isLoose)
    log.warn(
      { collation: name.collation, hint: `Run: ${migrateNames(name)}` },
      "the table cannot tell keys apart that differ in letter case; writing the second of two such keys fails",
    );
  return { name: { charset: name.charset, isLoose, maxBytes: Math.min(name.maxBytes, 630) }, idMax, valueMax };
}

/** Of a table of kine's, which has it. */
function nameColumnOf(columns: readonly Column[]): Column {
  const found = columns.find((column) => column.name === "name");
  if (found === undefined) throw MysqlError.otherSchema("it has no column name");
  return found;
}

function largest({ type }: Column): number {
  if (type.startsWith("bigint")) return Number.MAX_SAFE_INTEGER;
  return type.includes("unsigned") ? 2 ** 32 - 1 : 2 ** 31 - 1;
}

function longest({ maxBytes }: Column): number {
  return maxBytes > 0 ? maxBytes : Number.MAX_SAFE_INTEGER;
}
