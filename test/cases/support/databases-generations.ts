import type { SqlRow, SqlSession, SqlValue } from "./databases-sql.ts";

/** A layout that a release of kine made. */
export interface Generation {
  readonly name: string;
  readonly statements: readonly string[];
}

const UNIQUE = "CREATE UNIQUE INDEX kine_name_prev_revision_uindex ON kine (name, prev_revision)";
const NAME = "CREATE INDEX kine_name_index ON kine (name)";
const NAME_ID = "CREATE INDEX kine_name_id_index ON kine (name, id)";
const QUERIES = [
  "CREATE INDEX kine_id_deleted_index ON kine (id, deleted)",
  "CREATE INDEX kine_prev_revision_index ON kine (prev_revision)",
];
const ALL = [NAME, NAME_ID, ...QUERIES, UNIQUE];
const COMPACTION = `CREATE INDEX kine_id_compact_rev_key_with_prev_revision_index ON kine (id, name, prev_revision)
  WHERE name != 'compact_rev_key' AND prev_revision != 0`;

function sqlite(name: "INTEGER" | "TEXT"): string {
  return `CREATE TABLE kine (id INTEGER PRIMARY KEY AUTOINCREMENT, name ${name}, created INTEGER, deleted INTEGER,
    create_revision INTEGER, prev_revision INTEGER, lease INTEGER, value BLOB, old_value BLOB)`;
}

interface MysqlTypes {
  readonly id: string;
  readonly name: string;
  readonly blob?: string;
}

function mysql({ id, name, blob = "MEDIUMBLOB" }: MysqlTypes): string {
  return `CREATE TABLE kine (id ${id} AUTO_INCREMENT, name ${name}, created INTEGER, deleted INTEGER,
    create_revision ${id}, prev_revision ${id}, lease INTEGER, value ${blob}, old_value ${blob},
    PRIMARY KEY (id)) DEFAULT CHARSET utf8mb4`;
}

function postgres(id: "SERIAL" | "BIGSERIAL", name: string): string {
  const number = id === "SERIAL" ? "INTEGER" : "BIGINT";
  return `CREATE TABLE kine (id ${id} PRIMARY KEY, name ${name}, created INTEGER, deleted INTEGER,
    create_revision ${number}, prev_revision ${number}, lease INTEGER, value bytea, old_value bytea)`;
}

const ASCII = "VARCHAR(630) CHARACTER SET ascii";

/** Every layout in kine's history up to v0.16.4, by database, oldest first. */
export const GENERATIONS: Readonly<Record<"SQLite" | "MariaDB" | "PostgreSQL", readonly Generation[]>> = {
  SQLite: [
    { name: "v0.1: INTEGER names, no unique index", statements: [sqlite("INTEGER"), NAME] },
    { name: "v0.6: INTEGER names, all indexes", statements: [sqlite("INTEGER"), ...ALL] },
    {
      name: "v0.14.14: INTEGER names, an index for compaction",
      statements: [sqlite("INTEGER"), ...ALL, COMPACTION],
    },
    { name: "v0.16.3: TEXT names", statements: [sqlite("TEXT"), ...ALL, COMPACTION] },
  ],
  MariaDB: [
    {
      name: "v0.1: TEXT names with prefix indexes, no unique index",
      statements: [
        mysql({ id: "INTEGER", name: "TEXT", blob: "BLOB" }),
        "CREATE INDEX kine_name_index ON kine (name(100))",
      ],
    },
    {
      name: "late 2019: names in the default charset, unique index",
      statements: [mysql({ id: "INTEGER", name: "VARCHAR(630)" }), NAME, UNIQUE],
    },
    { name: "v0.6: ascii names, 32-bit ids, all indexes", statements: [mysql({ id: "INTEGER", name: ASCII }), ...ALL] },
    { name: "v0.11.5: 64-bit ids", statements: [mysql({ id: "BIGINT UNSIGNED", name: ASCII }), ...ALL] },
  ],
  PostgreSQL: [
    { name: "v0.1: no unique index", statements: [postgres("SERIAL", "TEXT"), NAME] },
    { name: "v0.6: 32-bit ids, all indexes", statements: [postgres("SERIAL", "VARCHAR(630)"), ...ALL] },
    {
      name: "v0.11.5: 64-bit ids, names in the database's collation",
      statements: [postgres("BIGSERIAL", "VARCHAR(630)"), ...ALL],
    },
    {
      name: "v0.13: names by bytes, an index for lists",
      statements: [
        ...[postgres("BIGSERIAL", 'TEXT COLLATE "C"'), ...ALL],
        "CREATE INDEX kine_list_query_index ON kine (name, id DESC, deleted)",
      ],
    },
  ],
};

const bytes = (text: string) => Buffer.from(text);

/** id, name, created, deleted, create_revision, prev_revision, lease, value, old_value: every kind of row that kine has ever written. */
export const KINE_ROWS: readonly SqlRow[] = [
  [1, "compact_rev_key", 1, 0, 0, 0, 0, bytes(""), null],
  [2, "/registry/health", 1, 0, 0, 0, 0, bytes('{"health":"true"}'), null],
  [3, "/registry/a", 1, 0, 0, 0, 0, bytes("a1"), null],
  [4, "/registry/a", 0, 0, 3, 3, 0, bytes("a2"), bytes("a1")],
  [5, "gap-5", 0, 1, 0, 0, 0, null, null],
  [6, "/registry/old-delete", 1, 0, 0, 0, 0, bytes("d1"), null],
  [7, "/registry/old-delete", 0, 1, 6, 6, 0, bytes("d1"), bytes("d1")],
  [8, "/registry/new-delete", 1, 0, 0, 0, 0, bytes("n1"), null],
  [9, "/registry/new-delete", 0, 1, 0, 8, 0, null, bytes("n1")],
  [10, "/registry/old-delete", 1, 0, 0, 7, 0, bytes("d2"), bytes("d1")],
  [11, "compact_rev_key_apiserver", 1, 0, 0, 0, 0, bytes("1"), null],
  [12, "compact_rev_key_apiserver", 0, 0, 11, 11, 0, bytes("2|8"), bytes("1")],
  [13, "/registry/ttl", 1, 0, 0, 0, 3600, bytes("t"), null],
  [14, "/registry/short", 1, 0, 0, 0, 2, bytes("s"), null],
  [15, "/registry/empty", 1, 0, 0, 0, 0, null, null],
];

/** Makes kine's table and puts rows into it, as a kine that wrote them would leave it. */
export async function makeKineTable(
  session: SqlSession,
  { statements }: Pick<Generation, "statements">,
  rows: readonly SqlRow[] = KINE_ROWS,
): Promise<void> {
  for (const statement of statements) await session.query(statement);
  for (const row of rows) await insertRow(session, row);
  const last = Math.max(...rows.map(([id]) => Number(id)));
  if (session.dialect === "postgres") await session.query("SELECT setval('kine_id_seq', ?::bigint)", last);
}

/** Inserts one row of nine columns as it is. */
export async function insertRow(session: SqlSession, row: readonly SqlValue[]): Promise<void> {
  await session.query("INSERT INTO kine VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", ...row);
}

/** The newest layout, without rows. */
export function newestOf(database: keyof typeof GENERATIONS): Generation {
  const newest = GENERATIONS[database].at(-1);
  if (newest === undefined) throw new Error(`Cannot find a layout of ${database}`);
  return newest;
}
