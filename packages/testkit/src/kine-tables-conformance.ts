import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { collectLog } from "./collect-log.ts";
import type { SqlTestDatabase } from "./sql-test-database.ts";
import { contents, EVERYTHING, isRefused, remove, write } from "./store-ops.ts";
import { until } from "./until.ts";
import { WatchRecorder } from "./watch-recorder.ts";

/** Indexes of kine's table, as kine makes them. */
export const KINE_INDEXES = {
  byName: "CREATE INDEX kine_name_index ON kine (name)",
  others: [
    "CREATE INDEX kine_name_id_index ON kine (name, id)",
    "CREATE INDEX kine_id_deleted_index ON kine (id, deleted)",
    "CREATE INDEX kine_prev_revision_index ON kine (prev_revision)",
  ],
  unique: "CREATE UNIQUE INDEX kine_name_prev_revision_uindex ON kine (name, prev_revision)",
};

const MAX_INT32 = 2 ** 31 - 1;
const row = (...values: readonly string[]) => `INSERT INTO kine VALUES (${values.join(", ")})`;
const MARKER = row("1", "'compact_rev_key'", "1", "0", "0", "0", "0", "''", "NULL");
const HEALTH = row("2", "'/registry/health'", "1", "0", "0", "0", "0", `'{"health":"true"}'`, "NULL");
/** Every kind of row that kine has ever written. */
const OLD_ROWS = [
  MARKER,
  HEALTH,
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

/** A table as a generation of kine made it. */
interface Generation {
  readonly name: string;
  readonly statements: readonly string[];
  readonly warns: RegExp;
}

interface KineTables {
  readonly generations: readonly Generation[];
  /** A table without indexes, with ids of 64 bits. */
  readonly wide: string;
  /** The same with ids of 32 bits. */
  readonly narrow: string;
  /** What the end of a narrow table is told with. */
  readonly endOfIds: string;
  /** Finds the cure in it. */
  readonly cure: RegExp;
  /** The statements that have ids go on behind the rows that were inserted with theirs; this is the last one. */
  readonly startIds: (last: number) => readonly string[];
  /** Statement that answers with this many rows where the unique index is there. */
  readonly uniqueIndex: { readonly statement: string; readonly rows: number };
  /** Kine's subquery for the old value of a key that there is not. */
  readonly noOldValue: string;
  /** Kine's deletion of the rows whose ids this query gives. */
  readonly deletion: (ids: string) => string;
}

/** That tables which kine made are taken over, and that kine goes on with those of ours, as tests. */
export function kineTablesConformance(database: SqlTestDatabase, tables: KineTables): void {
  const { asRead } = database;

  describe("D1 tables of every kine generation", () => {
    for (const { name, statements, warns } of tables.generations) {
      test(`D1 tables of kine are taken over and left usable: ${name}`, async (t) => {
        const database_ = database.newName();
        await database.sql(t, database_, ...statements, ...OLD_ROWS, ...tables.startIds(OLD_ROWS.length));
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
        const unique = await database.sql(t, database_, tables.uniqueIndex.statement);
        assert.equal(unique.length, tables.uniqueIndex.rows);
      });
    }

    test("D1 tables without the unique index lose the older of two equal states", async (t) => {
      const name = database.newName();
      await database.sql(
        ...[t, name, tables.wide],
        row("1", "'/a'", "1", "0", "0", "0", "0", "'one'", "NULL"),
        row("2", "'/a'", "0", "1", "1", "1", "0", "NULL", "'one'"),
        row("3", "'/a'", "0", "0", "1", "1", "0", "'two'", "'one'"),
      );
      assert.deepEqual(await contents(await database.store(t, name)), [
        "/a=two@3",
        '/registry/health={"health":"true"}@5',
      ]);
      const left = await database.sql(t, name, "SELECT id FROM kine WHERE name = '/a' ORDER BY id");
      assert.deepEqual(left, [[asRead(1)], [asRead(3)]]);
    });

    test("D3 32-bit id columns: refuse a row beyond them, name the cure, and go on once it is applied", async (t) => {
      const name = database.newName();
      const last = MAX_INT32 - 1;
      await database.sql(t, name, ...narrowUpTo(last));
      const { log, lines } = collectLog();
      const store = await database.store(t, name, log);
      assert.equal((await store.txn(write("/a", last, "2"))).revision, last + 1);
      const isFull = (error: unknown) => isRefused(error, tables.endOfIds);
      await assert.rejects(store.txn(write("/a", last + 1, "3")), isFull);
      assert.equal(lines.filter((line) => line.includes(tables.endOfIds)).length, 1);
      assert.deepEqual(await contents(store), [`/a=2@${last + 1}`, '/registry/health={"health":"true"}@2']);
      await store.close();
      const cure = tables.cure.exec(lines.join(""))?.[1] ?? "";
      await database.sql(t, name, ...cure.split("; "));
      const again = await database.store(t, name);
      assert.equal((await again.txn(write("/a", last + 1, "3"))).revision, last + 2);
    });

    test("D3 32-bit id columns: of what is written at once as much is as fits, and the rest is refused", async (t) => {
      const name = database.newName();
      const last = MAX_INT32 - 7;
      await database.sql(t, name, ...narrowUpTo(last));
      const store = await database.store(t, name);
      const keys = Array.from({ length: 20 }, (_, i) => `/k${i}`);
      const outcomes = await Promise.allSettled(keys.map((key) => store.txn(write(key, 0, "1"))));
      const made = outcomes.filter((outcome) => outcome.status === "fulfilled").map(({ value }) => value.revision);
      assert.deepEqual(
        made.toSorted((a, b) => a - b),
        [1, 2, 3, 4, 5, 6, 7].map((i) => last + i),
      );
      const refused = outcomes.filter((outcome) => outcome.status === "rejected");
      assert.ok(refused.every(({ reason }) => isRefused(reason, tables.endOfIds)));
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
      const none = asRead(0);
      assert.deepEqual(await sql(`${after} WHERE id > 2 ORDER BY id ASC`), [
        [asRead(3), "/registry/a", 1, 0, none, none, 0, "a1", null],
        [asRead(4), "/registry/a", 0, 0, asRead(3), asRead(3), 0, "a2", "a1"],
        [asRead(5), "/registry/b", 1, 0, none, none, 0, "b1", null],
        [asRead(6), "/registry/b", 0, 1, none, asRead(5), 0, null, "b1"],
        [asRead(7), "/registry/c", 1, 0, none, none, 0, "c1", null],
      ]);
      assert.equal(b, 6);
      // kine's insert and its compaction, beside ours
      await sql(
        `INSERT INTO kine (name, created, deleted, create_revision, prev_revision, lease, value, old_value)
         VALUES ('/registry/kine', 1, 0, 0, 0, 0, 'k', ${tables.noOldValue})`,
      );
      await until("kine's row is seen", async () => (await contents(store)).includes("/registry/kine=k@8"));
      const superfluous = `SELECT kp.prev_revision AS id FROM kine AS kp
            WHERE kp.name != 'compact_rev_key' AND kp.prev_revision != 0 AND kp.id <= 6
          UNION SELECT kd.id AS id FROM kine AS kd WHERE kd.deleted != 0 AND kd.id <= 6`;
      await sql(tables.deletion(superfluous));
      await sql("UPDATE kine SET prev_revision = 6 WHERE name = 'compact_rev_key'");
      const left = await sql("SELECT id FROM kine ORDER BY id");
      assert.deepEqual(left.flat(), [1, 2, 4, 7, 8].map(asRead));
      await until("the compaction is taken over", async () => {
        await contents(store);
        return (await store.status()).compactRevision === 6;
      });
    });
  });

  /** A narrow table whose newest row has this id. */
  function narrowUpTo(last: number): readonly string[] {
    const newest = row(String(last), "'/a'", "1", "0", "0", "0", "0", "'1'", "NULL");
    return [tables.narrow, KINE_INDEXES.unique, MARKER, HEALTH, newest, ...tables.startIds(last)];
  }
}
