import type { Logger } from "@k3s/log";
import { LOCK_CLASS } from "./commit-statement.ts";
import { PostgresError } from "./errors.ts";
import { copyOldTable } from "./old-table.ts";
import type { PostgresSession } from "./postgres-session.ts";

/** What a table of some generation of kine can hold. */
export interface TableLayout {
  /** Largest id. */
  readonly idMax: number;
  /** Longest name, in characters; Infinity: as long as an index takes. */
  readonly nameChars: number;
  /** The database has signs beyond ASCII that it cannot keep. */
  readonly isAsciiOnly: boolean;
}

/** Cure for tables from before kine 0.11.5; the sequence's name is kine's. */
export const MIGRATE_IDS =
  "ALTER TABLE kine ALTER COLUMN id TYPE BIGINT, ALTER COLUMN create_revision TYPE BIGINT, ALTER COLUMN prev_revision TYPE BIGINT; ALTER SEQUENCE kine_id_seq AS BIGINT";

const COLUMNS = ["id", "name", "created", "deleted", "create_revision", "prev_revision", "lease", "value", "old_value"];
const UNIQUE = "CREATE UNIQUE INDEX kine_name_prev_revision_uindex ON kine (name, prev_revision)";

/** Kine's table with kine's names for everything. */
const KINE = [
  `CREATE TABLE kine (
    id BIGSERIAL PRIMARY KEY,
    name text COLLATE "C",
    created INTEGER,
    deleted INTEGER,
    create_revision BIGINT,
    prev_revision BIGINT,
    lease INTEGER,
    value bytea,
    old_value bytea
  )`,
  "CREATE INDEX kine_name_index ON kine (name)",
  "CREATE INDEX kine_name_id_index ON kine (name, id)",
  "CREATE INDEX kine_id_deleted_index ON kine (id, deleted)",
  "CREATE INDEX kine_prev_revision_index ON kine (prev_revision)",
  "CREATE INDEX kine_list_query_index ON kine (name, id DESC, deleted)",
];

/** What kine has no column for; kine ignores these tables. */
const SIDE: Readonly<Record<string, string>> = {
  kine_lease: "CREATE TABLE kine_lease (id BIGINT PRIMARY KEY, ttl BIGINT NOT NULL, expires_at BIGINT NOT NULL)",
  kine_lease_row: "CREATE TABLE kine_lease_row (row_id BIGINT PRIMARY KEY, lease BIGINT NOT NULL)",
  kine_span: "CREATE TABLE kine_span (last_id BIGINT PRIMARY KEY, first_id BIGINT NOT NULL)",
};

const READ_COLUMNS = {
  text: `SELECT attname::text, format_type(atttypid, NULL), atttypmod FROM pg_attribute
         WHERE attrelid = to_regclass('kine') AND attnum > 0 AND NOT attisdropped ORDER BY attnum`,
};
const MISSING = { text: "SELECT name FROM unnest($1::text[]) AS t (name) WHERE to_regclass(name) IS NULL" };
/** By what it does and not by its name: a restored copy may have given it another one. */
const HAS_UNIQUE = {
  text: `SELECT 1 FROM pg_index i WHERE i.indrelid = to_regclass('kine') AND i.indisunique AND i.indisvalid AND i.indpred IS NULL
         AND (SELECT array_agg(a.attname::text ORDER BY a.attname) FROM pg_attribute a
              WHERE a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey)) = ARRAY['name', 'prev_revision']`,
};
/** Of equal states kine reads the newer one. NULL equals nothing. */
const REMOVE_DUPLICATES = `DELETE FROM kine WHERE id IN (
  SELECT id FROM (
    SELECT id, row_number() OVER (PARTITION BY name, prev_revision ORDER BY id DESC) AS place FROM kine
    WHERE name IS NOT NULL AND prev_revision IS NOT NULL
  ) AS r WHERE place > 1)`;
const LIMITS = {
  text: `SELECT current_setting('server_encoding'),
           (SELECT seqmax FROM pg_sequence WHERE seqrelid = to_regclass(pg_get_serial_sequence('kine', 'id')))`,
};
/** In one database all servers that begin take turns. */
const SCHEMA_LOCK = `SELECT pg_advisory_xact_lock(${LOCK_CLASS}, 0)`;

/** What the server says of kine's table, without changing it. Undefined: there is none. Rejects with PostgresError for one that is none of kine's. */
export async function readSchema(session: PostgresSession, log: Logger): Promise<Schema | undefined> {
  const columns = await readColumnNames(session);
  if (columns.length === 0) return undefined;
  assertKnown(columns);
  return { layout: await readLayout(session, log), hasUnique: await hasUnique(session) };
}

interface Schema {
  readonly layout: TableLayout;
  /** Nothing can follow the same state of a key twice. */
  readonly hasUnique: boolean;
}

/** Brings the tables up to date in one transaction. Rejects with PostgresError for a table that is none of kine's, else as the server says. */
export async function prepareSchema(session: PostgresSession, log: Logger): Promise<TableLayout> {
  await session.run("BEGIN");
  try {
    await session.run(SCHEMA_LOCK);
    await createMissing(session);
    await ensureUnique(session, log);
    await copyOldTable(session, log);
    const layout = await readLayout(session, log);
    await session.run("COMMIT");
    return layout;
  } catch (error) {
    await session.run("ROLLBACK").catch(() => undefined); // the first error is the one that counts
    throw error;
  }
}

/** What is there is left alone: only its owner could change it, and kine does that when it opens. */
async function createMissing(session: PostgresSession): Promise<void> {
  const columns = await readColumnNames(session);
  if (columns.length === 0) for (const statement of [...KINE, UNIQUE]) await session.run(statement);
  else assertKnown(columns);
  for (const [name] of await session.query(MISSING, [Object.keys(SIDE)])) await session.run(SIDE[String(name)] ?? "");
}

/** Very old tables lack the unique index and can hold a state of a key twice. */
async function ensureUnique(session: PostgresSession, log: Logger): Promise<void> {
  if (await hasUnique(session)) return;
  log.warn({ table: "kine" }, "the table has no unique index, making it; rows that are there twice lose the older one");
  await session.run("LOCK TABLE kine IN SHARE ROW EXCLUSIVE MODE");
  await session.run(REMOVE_DUPLICATES);
  await session.run(UNIQUE);
}

async function readColumnNames(session: PostgresSession): Promise<readonly string[]> {
  return (await session.query(READ_COLUMNS)).map(([name]) => String(name));
}

function assertKnown(columns: readonly string[]): void {
  if (columns.join() !== COLUMNS.join()) throw PostgresError.otherSchema(columns.join(", "));
}

async function hasUnique(session: PostgresSession): Promise<boolean> {
  return (await session.query(HAS_UNIQUE)).length > 0;
}

async function readLayout(session: PostgresSession, log: Logger): Promise<TableLayout> {
  const columns = await session.query(READ_COLUMNS);
  const [[encoding, sequenceMax] = []] = await session.query(LIMITS);
  const isSmall = columns.some(([name, type]) => /^id$|_revision$/.test(String(name)) && type === "integer");
  const idMax = Math.min(isSmall ? 2 ** 31 - 1 : Number.MAX_SAFE_INTEGER, Number(sequenceMax ?? Infinity));
  if (idMax < Number.MAX_SAFE_INTEGER)
    log.warn({ idMax, hint: `Stop all servers and run: ${MIGRATE_IDS}` }, "the table ends at a 32-bit id");
  const isAsciiOnly = encoding !== "UTF8" && encoding !== "SQL_ASCII";
  if (isAsciiOnly) log.warn({ encoding }, "the database is not encoded in UTF-8; keys beyond ASCII are refused");
  // The modifier of a type with a length is that and 4; without one it is -1.
  const modifier = Number(columns.find(([name]) => name === "name")?.[2] ?? -1);
  return { idMax, nameChars: modifier < 4 ? Infinity : modifier - 4, isAsciiOnly };
}
