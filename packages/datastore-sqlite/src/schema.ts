import type { Connection } from "./connection.ts";
import { copyOldTable } from "./old-table.ts";
import type { PreparedSchema } from "./worker-protocol.ts";

/** The file is not one we can work with; `code` tells which kind of wrong. */
class SchemaError extends Error {
  override readonly name = "SchemaError";
  readonly code: "SCHEMA_OTHER" | "SCHEMA_NEWER";

  constructor(code: SchemaError["code"], message: string) {
    super(message);
    this.code = code;
  }
}

/** Version of the side tables, kept in `user_version`, which kine leaves at 0. */
const SIDE_VERSION = 1;

const COLUMNS = ["id", "name", "created", "deleted", "create_revision", "prev_revision", "lease", "value", "old_value"];

// Kine's table, character for character where SQLite keeps the text.
const KINE = `CREATE TABLE IF NOT EXISTS kine
			(
				id INTEGER PRIMARY KEY AUTOINCREMENT,
				name TEXT,
				created INTEGER,
				deleted INTEGER,
				create_revision INTEGER,
				prev_revision INTEGER,
				lease INTEGER,
				value BLOB,
				old_value BLOB
			)`;
/** Keeps two states from following the same one where several programs write. One alone, which chooses the ids of its rows, needs it not. */
const UNIQUE = "kine_name_prev_revision_uindex";
/** Indexes of kine's queries: each costs every write a page of its own, and kine makes them again when it opens the file. */
const UNUSED = [
  "kine_name_index",
  "kine_name_id_index",
  "kine_id_deleted_index",
  "kine_prev_revision_index",
  "kine_id_compact_rev_key_with_prev_revision_index",
];

/**
 * All that a start reads, in the order of the rows: without it the start reads the values as well, which are most of the file. It grows at its
 * end only, so that a write costs a fraction of a page more. kine leaves it alone.
 */
const HEADS = "kine_heads_index";

/** The row of kine's compaction marker. Without kine's indexes it reads the table until it is found, at first in most. */
export const FIND_MARKER = "SELECT id FROM kine WHERE name = 'compact_rev_key' ORDER BY id LIMIT 1";

/** What kine has no column for; kine ignores these tables. */
const SIDE = [
  "CREATE TABLE IF NOT EXISTS kine_lease (id INTEGER PRIMARY KEY, ttl INTEGER NOT NULL, expires_at INTEGER NOT NULL)",
  "CREATE TABLE IF NOT EXISTS kine_lease_row (row_id INTEGER PRIMARY KEY, lease INTEGER NOT NULL)",
  "CREATE TABLE IF NOT EXISTS kine_span (last_id INTEGER PRIMARY KEY, first_id INTEGER NOT NULL)",
];

/**
 * Makes the tables in one transaction, or throws SchemaError and changes nothing.
 * `hasOthers`: another program has the file open, which may be kine.
 */
export function prepareSchema(database: Connection, hasOthers: boolean): PreparedSchema {
  assertKnown(database);
  const make = database.transaction(() => {
    for (const statement of [KINE, ...SIDE]) database.exec(statement);
    const before = [...UNUSED, UNIQUE].filter((index) => hasIndex(database, index));
    for (const index of UNUSED) database.exec(`DROP INDEX IF EXISTS ${index}`);
    guardNames(database, hasOthers);
    const droppedIndexes = before.filter((index) => !hasIndex(database, index));
    database.pragma(`user_version = ${SIDE_VERSION}`);
    return { copiedRows: copyOldTable(database), droppedIndexes };
  });
  return make.immediate();
}

/** Makes the index that heads are read from, about 100 bytes for each row. Answers whether it was missing. */
export function indexHeads(database: Connection): boolean {
  const isMissing = !hasIndex(database, HEADS);
  if (isMissing)
    database.exec(`CREATE INDEX ${HEADS} ON kine (id, name, created, deleted, create_revision, prev_revision, lease)`);
  return isMissing;
}

/** The table as a source of heads, with the index for them where it is there: a file of kine has none. */
export function headsSource(database: Connection): string {
  return hasIndex(database, HEADS) ? `kine INDEXED BY ${HEADS}` : "kine";
}

/** What is wrong with the structure of the file; nothing when it is sound. */
export function quickCheck(database: Connection): readonly string[] {
  const report = String(database.pragma("quick_check(1)", { simple: true }));
  return report === "ok" ? [] : [report];
}

function assertKnown(database: Connection): void {
  const version = Number(database.pragma("user_version", { simple: true }));
  if (version > SIDE_VERSION) throw new SchemaError("SCHEMA_NEWER", `version ${version}, known is ${SIDE_VERSION}`);
  const columns = database.prepare<[], string>("SELECT name FROM pragma_table_info('kine')").pluck().all();
  if (columns.length > 0 && columns.join() !== COLUMNS.join())
    throw new SchemaError("SCHEMA_OTHER", `columns of table kine are ${columns.join(", ")}`);
}

/** kine makes the index at its start: one that runs already would write without it. */
function guardNames(database: Connection, hasOthers: boolean): void {
  const isOurs = Number(database.pragma("user_version", { simple: true })) === SIDE_VERSION;
  const mayHoldTwice = !hasIndex(database, UNIQUE) && (hasOthers || !isOurs);
  if (mayHoldTwice) removeDuplicates(database);
  database.exec(
    hasOthers
      ? `CREATE UNIQUE INDEX IF NOT EXISTS ${UNIQUE} ON kine (name, prev_revision)`
      : `DROP INDEX IF EXISTS ${UNIQUE}`,
  );
}

/** Very old tables of kine lack the unique index and can hold a state of a key twice: kine reads the newer one. */
function removeDuplicates(database: Connection): void {
  database.exec("DELETE FROM kine WHERE id NOT IN (SELECT MAX(id) FROM kine GROUP BY name, prev_revision)");
}

function hasIndex(database: Connection, name: string): boolean {
  return database.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'index' AND name = ?").get(name) !== undefined;
}
