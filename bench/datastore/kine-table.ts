import Database from "better-sqlite3";

const END = "/registry/pods0";
const VALUE = Buffer.alloc(1024, "v");

/** Columns, types and indexes of the table as kine makes it in SQLite. */
const SCHEMA = `
  CREATE TABLE kine (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, created INTEGER, deleted INTEGER,
    create_revision INTEGER, prev_revision INTEGER, lease INTEGER, value BLOB, old_value BLOB);
  CREATE INDEX kine_name_index ON kine (name);
  CREATE INDEX kine_name_id_index ON kine (name, id);
  CREATE INDEX kine_id_deleted_index ON kine (id, deleted);
  CREATE INDEX kine_prev_revision_index ON kine (prev_revision);
  CREATE UNIQUE INDEX kine_name_prev_revision_uindex ON kine (name, prev_revision);
  CREATE INDEX kine_id_compact_rev_key_with_prev_revision_index ON kine (id, name, prev_revision)
    WHERE name != 'compact_rev_key' AND prev_revision != 0;`;

/** Every read also asks for the current and the compacted revision. */
const REVISIONS = `(SELECT MAX(id) FROM kine) AS current,
  (SELECT MAX(prev_revision) FROM kine WHERE name = 'compact_rev_key') AS compacted`;
const NEWEST = "SELECT MAX(id) AS id FROM kine WHERE name = ?";
const NEWEST_OF_RANGE = "SELECT MAX(id) AS id FROM kine WHERE name >= ? AND name < ? GROUP BY name";
const GET = `SELECT ${REVISIONS}, row.* FROM kine AS row JOIN (${NEWEST}) AS newest ON newest.id = row.id`;
const LIST = `SELECT ${REVISIONS}, row.* FROM kine AS row JOIN (${NEWEST_OF_RANGE}) AS newest ON newest.id = row.id
  WHERE row.deleted = 0 ORDER BY row.name LIMIT ?`;
const COUNT = `SELECT (SELECT MAX(id) FROM kine), COUNT(row.id)
  FROM kine AS row JOIN (${NEWEST_OF_RANGE}) AS newest ON newest.id = row.id WHERE row.deleted = 0`;
const INSERT = `INSERT INTO kine (name, created, deleted, create_revision, prev_revision, lease, value, old_value)
  VALUES (?, ?, 0, ?, ?, 0, ?, (SELECT value FROM kine WHERE id = ?))`;

interface Row {
  readonly id: number;
  readonly created: number;
  readonly deleted: number;
  readonly create_revision: number;
}

/** kine's table, used as kine uses it: each statement is a transaction of its own. */
export class KineTable {
  readonly #database: Database.Database;
  readonly #get: Database.Statement<[string], Row>;
  readonly #list: Database.Statement<[string, string, number]>;
  readonly #count: Database.Statement<[string, string]>;
  readonly #insert: Database.Statement<[string, number, number, number, Buffer, number]>;

  constructor(path: string, synchronous: "FULL" | "NORMAL") {
    this.#database = new Database(path);
    this.#database.pragma("journal_mode = WAL");
    this.#database.pragma(`synchronous = ${synchronous}`);
    this.#database.exec(SCHEMA);
    this.#get = this.#database.prepare(GET);
    this.#list = this.#database.prepare(LIST);
    this.#count = this.#database.prepare(COUNT);
    this.#insert = this.#database.prepare(INSERT);
  }

  /** Makes the keys in one transaction: that is not measured. */
  fill(keys: number, nameOf: (n: number) => string): void {
    this.#database.transaction(() => {
      this.#insert.run("compact_rev_key", 1, 0, 0, Buffer.alloc(0), 0);
      for (let n = 0; n < keys; n++) this.#insert.run(nameOf(n), 1, 0, 0, VALUE, 0);
    })();
  }

  create(name: string): void {
    const before = this.#get.get(name);
    if (before !== undefined && before.deleted === 0) throw new Error(`Cannot create ${name}: it exists`);
    this.#insert.run(name, 1, 0, before?.id ?? 0, VALUE, 0);
  }

  update(name: string): void {
    const before = this.#get.get(name);
    if (before === undefined || before.deleted !== 0) throw new Error(`Cannot update ${name}: it does not exist`);
    const created = before.created === 0 ? before.create_revision : before.id;
    this.#insert.run(name, 0, created, before.id, VALUE, before.id);
  }

  get(name: string): void {
    if (this.#get.get(name) === undefined) throw new Error(`Cannot get ${name}: it does not exist`);
  }

  /** A page, and the count that says how much there is behind it. */
  page(from: string, limit: number): void {
    this.#list.all(from, END, limit + 1);
    this.#count.all(from, END);
  }

  count(from: string): void {
    this.#count.all(from, END);
  }

  close(): void {
    this.#database.close();
  }
}
