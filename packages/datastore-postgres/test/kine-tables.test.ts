import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { collectLog, until, WatchRecorder, contents, EVERYTHING, isRefused, remove, write } from "@k3s/testkit";
import { TestDatabase } from "./support/test-database.ts";

const database = TestDatabase.forFile();

const INDEXES = [
  "CREATE INDEX kine_name_id_index ON kine (name, id)",
  "CREATE INDEX kine_id_deleted_index ON kine (id, deleted)",
  "CREATE INDEX kine_prev_revision_index ON kine (prev_revision)",
];
const NAME_INDEX = "CREATE INDEX kine_name_index ON kine (name)";
const UNIQUE = "CREATE UNIQUE INDEX kine_name_prev_revision_uindex ON kine (name, prev_revision)";

function table(types: { readonly id: "SERIAL" | "BIGSERIAL"; readonly name: string }): string {
  const { id, name } = types;
  const number = id === "SERIAL" ? "INTEGER" : "BIGINT";
  return `CREATE TABLE kine (id ${id} PRIMARY KEY, name ${name}, created INTEGER, deleted INTEGER,
    create_revision ${number}, prev_revision ${number}, lease INTEGER, value bytea, old_value bytea)`;
}

/** Tables as the generations of kine made them. */
const GENERATIONS: readonly {
  readonly name: string;
  readonly statements: readonly string[];
  readonly warns: RegExp;
}[] = [
  {
    name: "v0.1.0: no unique index",
    statements: [table({ id: "SERIAL", name: "TEXT" }), NAME_INDEX],
    warns: /no unique index/,
  },
  {
    name: "before v0.11.5: 32-bit ids",
    statements: [table({ id: "SERIAL", name: "VARCHAR(630)" }), NAME_INDEX, ...INDEXES, UNIQUE],
    warns: /32-bit/,
  },
  {
    name: "before v0.13.0: names in the collation of the database",
    statements: [table({ id: "BIGSERIAL", name: "VARCHAR(630)" }), NAME_INDEX, ...INDEXES, UNIQUE],
    warns: /^/,
  },
  {
    name: "since v0.13.0",
    statements: [table({ id: "BIGSERIAL", name: 'TEXT COLLATE "C"' }), NAME_INDEX, ...INDEXES, UNIQUE],
    warns: /^/,
  },
];

const row = (...values: readonly string[]) => `INSERT INTO kine VALUES (${values.join(", ")})`;
/** Every kind of row that kine has ever written. */
const OLD_ROWS = [
  row("1", "'compact_rev_key'", "1", "0", "0", "0", "0", "''", "NULL"),
  row("2", "'/registry/health'", "1", "0", "0", "0", "0", `'{"health":"true"}'`, "NULL"),
  row("3", "'/registry/a'", "1", "0", "0", "0", "0", "'a1'", "NULL"),
  row("4", "'/registry/a'", "0", "0", "3", "3", "0", "'a2'", "'a1'"),
  row("5", "'gap-5'", "0", "1", "0", "0", "0", "NULL", "NULL"),
  row("6", "'/registry/old-delete'", "1", "0", "0", "0", "0", "'d1'", "NULL"),
  row("7", "'/registry/old-delete'", "0", "1", "6", "6", "0", "'d1'", "'d1'"),
  row("8", "'/registry/new-delete'", "1", "0", "0", "0", "0", "'n1'", "NULL"),
  row("9", "'/registry/new-delete'", "0", "1", "0", "8", "0", "NULL", "'n1'"),
  row("10", "'/registry/old-delete'", "1", "0", "0", "7", "0", "'d2'", "'d1'"),
  row("11", "'/registry/ttl'", "1", "0", "0", "0", "3600", "'t'", "NULL"),
  row("12", "'/registry/empty'", "1", "NULL", "NULL", "0", "NULL", "NULL", "NULL"),
];

const END_OF_IDS =
  "the table ends at 2147483647; stop all servers and run: ALTER TABLE kine ALTER COLUMN id TYPE BIGINT";

describe("D1 tables of every kine generation", () => {
  for (const { name, statements, warns } of GENERATIONS) {
    test(`D1 tables of kine are taken over and left usable: ${name}`, async (t) => {
      const database_ = database.newName();
      await database.sql(t, database_, ...statements, ...OLD_ROWS, "SELECT setval('kine_id_seq', 12)");
      const { log, lines } = collectLog();
      const store = await database.store(t, database_, log);
      assert.match(lines.join(""), warns);
      assert.deepEqual(await contents(store), [
        "/registry/a=a2@4",
        "/registry/empty=@12",
        '/registry/health={"health":"true"}@2',
        "/registry/old-delete=d2@10",
        "/registry/ttl=t@11",
      ]);
      const seen = new WatchRecorder(store, EVERYTHING, 3);
      await seen.count(9);
      assert.deepEqual(seen.lines.slice(0, 6), [
        "3 put /registry/a=a1",
        "4 put /registry/a=a2 was a1@3",
        "6 put /registry/old-delete=d1",
        "7 delete /registry/old-delete= was d1@6",
        "8 put /registry/new-delete=n1",
        "9 delete /registry/new-delete= was n1@8",
      ]);
      await store.txn(write("/registry/new-delete", 0, "n2"));
      assert.equal((await store.txn(write("/registry/a", 4, "a3"))).revision, 14);
      await store.compact(store.currentRevision);
      await until("the superfluous rows are gone", async () => {
        const left = await database.sql(t, database_, "SELECT id FROM kine ORDER BY id");
        return left.map(([id]) => String(id)).join() === "1,2,10,11,12,13,14";
      });
      const unique =
        "SELECT 1 FROM pg_indexes WHERE indexname = 'kine_name_prev_revision_uindex' AND indexdef LIKE '%UNIQUE%'";
      assert.equal((await database.sql(t, database_, unique)).length, 1);
    });
  }

  test("D1 tables without the unique index lose the older of two equal states", async (t) => {
    const name = database.newName();
    await database.sql(
      ...[t, name, table({ id: "BIGSERIAL", name: "TEXT" })],
      row("1", "'/a'", "1", "0", "0", "0", "0", "'one'", "NULL"),
      row("2", "'/a'", "0", "1", "1", "1", "0", "NULL", "'one'"),
      row("3", "'/a'", "0", "0", "1", "1", "0", "'two'", "'one'"),
    );
    assert.deepEqual(await contents(await database.store(t, name)), [
      "/a=two@3",
      '/registry/health={"health":"true"}@5',
    ]);
    assert.deepEqual(await database.sql(t, name, "SELECT id FROM kine WHERE name = '/a' ORDER BY id"), [["1"], ["3"]]);
  });

  test("D3 32-bit id columns: refuse a row beyond them, name the cure, and go on once it is applied", async (t) => {
    const name = database.newName();
    const last = 2 ** 31 - 2;
    const marker = row("1", "'compact_rev_key'", "1", "0", "0", "0", "0", "''", "NULL");
    const health = row("2", "'/registry/health'", "1", "0", "0", "0", "0", `'{"health":"true"}'`, "NULL");
    const newest = row(String(last), "'/a'", "1", "0", "0", "0", "0", "'1'", "NULL");
    const start = `SELECT setval('kine_id_seq', ${last})`;
    await database.sql(t, name, table({ id: "SERIAL", name: "TEXT" }), UNIQUE, marker, health, newest, start);
    const { log, lines } = collectLog();
    const store = await database.store(t, name, log);
    assert.equal((await store.txn(write("/a", last, "2"))).revision, last + 1);
    const isFull = (error: unknown) => isRefused(error, END_OF_IDS);
    await assert.rejects(store.txn(write("/a", last + 1, "3")), isFull);
    assert.equal(lines.filter((line) => line.includes(END_OF_IDS)).length, 1);
    assert.deepEqual(await contents(store), [`/a=2@${last + 1}`, '/registry/health={"health":"true"}@2']);
    await store.close();
    const cure = /run: (ALTER TABLE [^"]*BIGINT)/.exec(lines.join(""))?.[1] ?? "";
    await database.sql(t, name, ...cure.split("; "));
    const again = await database.store(t, name);
    assert.equal((await again.txn(write("/a", last + 1, "3"))).revision, last + 2);
  });

  test("D3 32-bit id columns: of what is written at once as much is as fits, and the rest is refused", async (t) => {
    const name = database.newName();
    const last = 2 ** 31 - 1 - 7;
    const marker = row("1", "'compact_rev_key'", "1", "0", "0", "0", "0", "''", "NULL");
    const health = row("2", "'/registry/health'", "1", "0", "0", "0", "0", `'{"health":"true"}'`, "NULL");
    const newest = row(String(last), "'/a'", "1", "0", "0", "0", "0", "'1'", "NULL");
    const start = `SELECT setval('kine_id_seq', ${last})`;
    await database.sql(t, name, table({ id: "SERIAL", name: "TEXT" }), UNIQUE, marker, health, newest, start);
    const store = await database.store(t, name);
    const keys = Array.from({ length: 20 }, (_, i) => `/k${i}`);
    const outcomes = await Promise.allSettled(keys.map((key) => store.txn(write(key, 0, "1"))));
    const made = outcomes.filter((outcome) => outcome.status === "fulfilled").map(({ value }) => value.revision);
    assert.deepEqual(
      made.toSorted((a, b) => a - b),
      [1, 2, 3, 4, 5, 6, 7].map((i) => last + i),
    );
    const refused = outcomes.filter((outcome) => outcome.status === "rejected");
    assert.ok(refused.every(({ reason }) => isRefused(reason, END_OF_IDS)));
    assert.equal((await contents(store)).length, 2 + made.length);
  });

  test("D5 rows written by us answer kine's own statements", async (t) => {
    const name = database.newName();
    const store = await database.store(t, name);
    await store.txn(write("/registry/a", 0, "a1"));
    const { revision: a } = await store.txn(write("/registry/a", store.currentRevision, "a2"));
    await store.txn(write("/registry/b", 0, "b1"));
    const { revision: b } = await store.txn(remove("/registry/b", store.currentRevision));
    await store.txn(write("/registry/c", 0, "c1"));
    const sql = (statement: string) => database.sql(t, name, statement);
    const newest = (where: string) => `SELECT MAX(mkv.id) AS id FROM kine AS mkv WHERE ${where} GROUP BY mkv.name`;
    const list = `SELECT kv.id, kv.name, kv.value FROM kine AS kv
      JOIN (${newest("mkv.name >= '/registry/' AND mkv.name < '/registry0'")}) AS maxkv ON maxkv.id = kv.id
      WHERE kv.deleted = 0 ORDER BY kv.name ASC`;
    assert.deepEqual(
      (await sql(list)).map(([id, key, value]) => `${String(id)} ${String(key)}=${String(value)}`),
      [`${a} /registry/a=a2`, `2 /registry/health={"health":"true"}`, "7 /registry/c=c1"].sort((x, y) =>
        String(x.split(" ")[1]).localeCompare(String(y.split(" ")[1])),
      ),
    );
    const after =
      "SELECT id, name, created, deleted, create_revision, prev_revision, lease, value, old_value FROM kine";
    assert.deepEqual(await sql(`${after} WHERE id > 2 ORDER BY id ASC`), [
      ["3", "/registry/a", 1, 0, "0", "0", 0, "a1", null],
      ["4", "/registry/a", 0, 0, "3", "3", 0, "a2", "a1"],
      ["5", "/registry/b", 1, 0, "0", "0", 0, "b1", null],
      ["6", "/registry/b", 0, 1, "0", "5", 0, null, "b1"],
      ["7", "/registry/c", 1, 0, "0", "0", 0, "c1", null],
    ]);
    assert.equal(b, 6);
    // kine's insert and its compaction, beside ours
    await sql(
      `INSERT INTO kine (name, created, deleted, create_revision, prev_revision, lease, value, old_value)
       VALUES ('/registry/kine', 1, 0, 0, 0, 0, 'k', (SELECT value FROM kine WHERE id = 0))`,
    );
    await until("kine's row is seen", async () => (await contents(store)).includes("/registry/kine=k@8"));
    const compact = `DELETE FROM kine AS kv USING (
        SELECT kp.prev_revision AS id FROM kine AS kp
          WHERE kp.name != 'compact_rev_key' AND kp.prev_revision != 0 AND kp.id <= 6
        UNION SELECT kd.id AS id FROM kine AS kd WHERE kd.deleted != 0 AND kd.id <= 6
      ) AS ks WHERE kv.id = ks.id`;
    await sql(compact);
    await sql("UPDATE kine SET prev_revision = 6 WHERE name = 'compact_rev_key'");
    const left = await sql("SELECT id FROM kine ORDER BY id");
    assert.deepEqual(left.flat(), ["1", "2", "4", "7", "8"]);
    await until("the compaction is taken over", async () => {
      await contents(store);
      return (await store.status()).compactRevision === 6;
    });
  });
});
