import assert from "node:assert/strict";
import { mkdir, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { describe, test } from "node:test";
import { emptyBatch } from "@k3s/datastore";
import { collectLog, WatchRecorder } from "@k3s/testkit";
import { openSqliteDriver } from "../src/index.ts";
import { below, create, del, FROM_KEY, get, just, modIs, put, query, rangeOf, remove, update } from "./support/ops.ts";
import { openElsewhere, sql } from "./support/python.ts";
import { eventually, silent, storeAt, tempDatabase } from "./support/temp-store.ts";

const COLUMNS =
  "created INTEGER, deleted INTEGER, create_revision INTEGER, prev_revision INTEGER, lease INTEGER, value BLOB, old_value BLOB";
const table = (nameType: string) =>
  `CREATE TABLE kine (id INTEGER PRIMARY KEY AUTOINCREMENT, name ${nameType}, ${COLUMNS})`;
const UNIQUE = "CREATE UNIQUE INDEX kine_name_prev_revision_uindex ON kine (name, prev_revision)";
const row = (...values: readonly string[]) => `INSERT INTO kine VALUES (${values.join(", ")})`;

/** Every kind of row that kine has ever written. */
const OLD_ROWS = [
  row("1", "'compact_rev_key'", "1", "0", "0", "0", "0", "x''", "NULL"),
  row("2", "'/registry/health'", "1", "0", "0", "0", "0", `CAST('{"health":"true"}' AS BLOB)`, "NULL"),
  row("3", "'/registry/a'", "1", "0", "0", "0", "0", "CAST('a1' AS BLOB)", "NULL"),
  row("4", "'/registry/a'", "0", "0", "3", "3", "0", "CAST('a2' AS BLOB)", "CAST('a1' AS BLOB)"),
  row("5", "'gap-5'", "0", "1", "0", "0", "0", "NULL", "NULL"),
  row("6", "'/registry/old-delete'", "1", "0", "0", "0", "0", "CAST('d1' AS BLOB)", "NULL"),
  row("7", "'/registry/old-delete'", "0", "1", "6", "6", "0", "CAST('d1' AS BLOB)", "CAST('d1' AS BLOB)"),
  row("8", "'/registry/new-delete'", "1", "0", "0", "0", "0", "CAST('n1' AS BLOB)", "NULL"),
  row("9", "'/registry/new-delete'", "0", "1", "0", "8", "0", "NULL", "CAST('n1' AS BLOB)"),
  row("10", "'/registry/old-delete'", "1", "0", "0", "7", "0", "CAST('d2' AS BLOB)", "CAST('d1' AS BLOB)"),
  row("11", "'compact_rev_key_apiserver'", "1", "0", "0", "0", "0", "CAST('1' AS BLOB)", "NULL"),
  row("12", "'compact_rev_key_apiserver'", "0", "0", "11", "11", "0", "CAST('2|8' AS BLOB)", "CAST('1' AS BLOB)"),
  row("13", "'/registry/ttl'", "1", "0", "0", "0", "3600", "CAST('t' AS BLOB)", "NULL"),
  row("14", "'/registry/empty'", "1", "0", "0", "0", "0", "NULL", "NULL"),
];

describe("files of kine", () => {
  for (const nameType of ["TEXT", "INTEGER"]) {
    test(`D1 loads every kind of row from a table whose names are ${nameType}`, async (t) => {
      const path = await tempDatabase(t);
      await mkdir(dirname(path));
      await sql(path, table(nameType), UNIQUE, ...OLD_ROWS);
      const store = await storeAt(t, path);
      const { kvs, revision } = await store.range(query(below("/registry/")));
      assert.equal(revision, 14);
      assert.deepEqual(
        kvs.map((kv) => [kv.key.toString(), kv.value.toString(), kv.createRevision, kv.modRevision, kv.version]),
        [
          ["/registry/a", "a2", 3, 4, 2],
          ["/registry/empty", "", 14, 14, 1],
          ["/registry/health", '{"health":"true"}', 2, 2, 1],
          ["/registry/old-delete", "d2", 10, 10, 1],
          ["/registry/ttl", "t", 13, 13, 1],
        ],
      );
      const seen = new WatchRecorder(store, { key: Buffer.alloc(0), rangeEnd: FROM_KEY }, 3);
      await seen.count(11);
      assert.deepEqual(seen.lines.slice(0, 6), [
        "3 put /registry/a=a1",
        "4 put /registry/a=a2 was a1@3",
        "6 put /registry/old-delete=d1",
        "7 delete /registry/old-delete= was d1@6",
        "8 put /registry/new-delete=n1",
        "9 delete /registry/new-delete= was n1@8",
      ]);
      assert.equal((await store.txn(create("/registry/new-delete", "n2"))).revision, 15);
      assert.equal((await store.txn(update("/registry/a", 4, "a3"))).succeeded, true);
      await store.compact(store.currentRevision);
      await eventually(async () => {
        const left = await sql(path, "SELECT id, CAST(name AS TEXT), prev_revision FROM kine ORDER BY id");
        const ids = left.map(([id]) => id);
        assert.deepEqual(ids, [1, 2, 10, 12, 13, 14, 15, 16]);
        assert.deepEqual(left.at(-2), [15, "/registry/new-delete", 9]);
      });
    });
  }

  test("D8 reads the compaction key's version and value from its row, old form too", async (t) => {
    const path = await tempDatabase(t);
    await mkdir(dirname(path));
    await sql(path, table("TEXT"), UNIQUE, ...OLD_ROWS);
    const store = await storeAt(t, path);
    const read = async (revision: number) =>
      (await store.range(query(rangeOf("compact_rev_key"), { revision }))).kvs[0];
    const [old, now] = [await read(11), await read(0)];
    assert.deepEqual([old?.version, old?.value.toString()], [1, "0"]);
    assert.deepEqual([now?.version, now?.value.toString(), now?.key.toString()], [2, "8", "compact_rev_key"]);
    const version = {
      ...rangeOf("compact_rev_key"),
      result: "equal" as const,
      target: { field: "version" as const, value: 2 },
    };
    const txn = { compare: [version], success: [put("compact_rev_key", "12")], failure: [get("compact_rev_key")] };
    assert.equal((await store.txn(txn)).succeeded, true);
    await store.close();
    const stored = await sql(
      path,
      "SELECT value, old_value FROM kine WHERE name = 'compact_rev_key_apiserver' AND id > 12",
    );
    assert.deepEqual(stored, [["3|12", "2|8"]]);
  });

  test("gives kine's time-to-live keys a lease that survives the next restart", async (t) => {
    const path = await tempDatabase(t);
    await mkdir(dirname(path));
    await sql(path, table("INTEGER"), UNIQUE, ...OLD_ROWS);
    const first = await storeAt(t, path);
    const lease = (await first.range(query(rangeOf("/registry/ttl")))).kvs[0]?.lease ?? 0n;
    assert.deepEqual((await first.leaseTimeToLive(lease)).keys.map(String), ["/registry/ttl"]);
    await first.close();
    await sql(path, "UPDATE kine_lease SET expires_at = expires_at - 3000000");
    const second = await storeAt(t, path);
    assert.equal((await second.range(query(rangeOf("/registry/ttl")))).kvs[0]?.lease, lease);
    assert.ok((await second.leaseTimeToLive(lease)).remainingTtlSeconds <= 600);
  });

  test("D7 keeps the newest of several compaction markers", async (t) => {
    const path = await tempDatabase(t);
    await mkdir(dirname(path));
    const second = row("15", "'compact_rev_key'", "1", "0", "0", "9", "0", "x''", "NULL");
    await sql(path, table("TEXT"), UNIQUE, ...OLD_ROWS, second);
    const store = await storeAt(t, path);
    assert.equal((await store.status()).compactRevision, 9);
    await store.close();
    assert.deepEqual(await sql(path, "SELECT id, prev_revision FROM kine WHERE name = 'compact_rev_key'"), [[15, 9]]);
  });

  test("drops kine's indexes, which kine makes again at its start", async (t) => {
    const path = await tempDatabase(t);
    const first = await storeAt(t, path);
    for (const value of ["1", "2"]) await first.txn(just(put("/a", value), put("/b", value)));
    await first.txn(just(del("/a")));
    await first.txn(just(put("/a", "3")));
    await first.close();
    await sql(path, "CREATE INDEX IF NOT EXISTS kine_name_id_index ON kine (name,id)", UNIQUE);
    await (await storeAt(t, path)).close();
    assert.deepEqual(await sql(path, "SELECT name FROM sqlite_schema WHERE type = 'index'"), [["kine_heads_index"]]);
    await sql(path, UNIQUE);
    assert.equal((await sql(path, "SELECT name FROM kine INDEXED BY kine_name_prev_revision_uindex")).length, 8);
  });

  test("tells which indexes of kine it drops, once, and that kine makes them again", async (t) => {
    const path = await tempDatabase(t);
    await mkdir(dirname(path));
    await sql(path, table("TEXT"), "CREATE INDEX kine_name_id_index ON kine (name,id)", UNIQUE, ...OLD_ROWS);
    const { log, lines } = collectLog();
    await (await openSqliteDriver({ path, log })).close();
    const told = lines.filter((line) => line.includes("index"));
    assert.equal(told.length, 1);
    const line = JSON.parse(told.join("")) as Readonly<Record<string, unknown>>;
    assert.deepEqual(
      [line["level"], line["file"], line["indexes"]],
      ["info", path, ["kine_name_id_index", "kine_name_prev_revision_uindex"]],
    );
    assert.match(String(line["msg"]), /kine makes them again/);
    lines.length = 0;
    await (await openSqliteDriver({ path, log })).close();
    await (await openSqliteDriver({ path: await tempDatabase(t), log })).close();
    assert.doesNotMatch(lines.join(""), /index/);
  });

  test("keeps kine's guard while another program has the file open, and drops it at the next start", async (t) => {
    const path = await tempDatabase(t);
    await (await storeAt(t, path)).close();
    await sql(path, UNIQUE);
    const other = await openElsewhere(t, path);
    const store = await storeAt(t, path);
    await store.txn(create("/a", "1"));
    await assert.rejects(sql(path, row("NULL", "'/a'", "1", "0", "0", "0", "0", "x''", "NULL")), /UNIQUE constraint/);
    await store.close();
    await other.close();
    await (await storeAt(t, path)).close();
    assert.deepEqual(await sql(path, "SELECT name FROM sqlite_schema WHERE type = 'index'"), [["kine_heads_index"]]);
  });

  test("moves the marker of a compaction wherever its row is, and never back", async (t) => {
    const path = await tempDatabase(t);
    await mkdir(dirname(path));
    const [, ...rows] = OLD_ROWS;
    await sql(path, table("INTEGER"), ...rows, row("15", "'compact_rev_key'", "1", "0", "0", "3", "0", "x''", "NULL"));
    const store = await storeAt(t, path);
    const marker = () => sql(path, "SELECT id, prev_revision FROM kine WHERE name = 'compact_rev_key'");
    await store.compact(12);
    assert.deepEqual(await marker(), [[15, 12]]);
    await store.close(); // which would look at what others compact, and refuse
    const driver = await openSqliteDriver({ path, log: silent });
    t.after(() => driver.close());
    await sql(path, "UPDATE kine SET prev_revision = 14 WHERE id = 15");
    await driver.commit({ ...emptyBatch, compactRevision: 13 });
    assert.deepEqual(await marker(), [[15, 14]]);
  });

  test("D1 repairs a table without the unique index by keeping the newer state", async (t) => {
    const path = await tempDatabase(t);
    await mkdir(dirname(path));
    const double = row("15", "'/registry/a'", "0", "0", "3", "3", "0", "CAST('later' AS BLOB)", "NULL");
    await sql(path, table("TEXT"), ...OLD_ROWS, double);
    const store = await storeAt(t, path);
    assert.equal((await store.range(query(rangeOf("/registry/a")))).kvs[0]?.value.toString(), "later");
    await store.close();
    await sql(path, UNIQUE);
    assert.deepEqual(await sql(path, "SELECT id FROM kine WHERE name = '/registry/a' AND prev_revision = 3"), [[15]]);
  });

  test("adds kine's health key where it is missing, as an ordinary write, and only once", async (t) => {
    const path = await tempDatabase(t);
    const store = await storeAt(t, path, { healthKey: false });
    await store.txn(create("/a", "1"));
    await store.close();
    for (let starts = 0; starts < 2; starts++) {
      const again = await storeAt(t, path, { healthKey: true });
      assert.equal(again.currentRevision, 3);
      await again.close();
    }
    assert.deepEqual(await sql(path, "SELECT id, name, value FROM kine"), [
      [1, "compact_rev_key", ""],
      [2, "/a", "1"],
      [3, "/registry/health", '{"health":"true"}'],
    ]);
  });

  test("begins a new file with kine's table and rows, and with an index of ours instead of its own", async (t) => {
    const path = await tempDatabase(t);
    const store = await storeAt(t, path);
    await store.close();
    const columns = await sql(path, "SELECT name, type, pk FROM pragma_table_info('kine')");
    assert.deepEqual(
      columns.map(([name, type]) => `${String(name)} ${String(type)}`),
      [
        "id INTEGER",
        "name TEXT",
        "created INTEGER",
        "deleted INTEGER",
        "create_revision INTEGER",
        "prev_revision INTEGER",
        "lease INTEGER",
        "value BLOB",
        "old_value BLOB",
      ],
    );
    assert.deepEqual(await sql(path, "SELECT name FROM sqlite_schema WHERE type = 'index'"), [["kine_heads_index"]]);
    assert.deepEqual(await sql(path, "SELECT * FROM kine"), [
      [1, "compact_rev_key", 1, 0, 0, 0, 0, "", null],
      [2, "/registry/health", 1, 0, 0, 0, 0, '{"health":"true"}', null],
    ]);
    assert.deepEqual(await sql(path, "PRAGMA journal_mode"), [["wal"]]);
    assert.equal((await stat(path)).mode & 0o777, 0o600);
  });

  test("D5 writes rows with the links and old values that kine reads", async (t) => {
    const path = await tempDatabase(t);
    const store = await storeAt(t, path);
    await store.txn(create("/a", "1"));
    await store.txn(update("/a", 3, ""));
    await store.txn(remove("/a", 4));
    await store.txn(create("/a", "2"));
    await store.txn({ compare: [modIs("/b", 0)], success: [put("/b", "b"), put("/c", "c")], failure: [] });
    await store.txn(just(put("/b", "b2"), del("/c")));
    await store.close();
    const rows = await sql(path, "SELECT * FROM kine WHERE id > 2 ORDER BY id");
    assert.deepEqual(rows, [
      [3, "/a", 1, 0, 0, 0, 0, "1", null],
      [4, "/a", 0, 0, 3, 3, 0, "", "1"],
      [5, "/a", 0, 1, 0, 4, 0, null, ""],
      [6, "/a", 1, 0, 0, 5, 0, "2", null],
      [7, "/b", 1, 0, 0, 0, 0, "b", null],
      [8, "/c", 1, 0, 0, 0, 0, "c", null],
      [9, "/b", 0, 0, 8, 7, 0, "b2", "b"],
      [10, "/c", 0, 1, 0, 8, 0, null, "c"],
    ]);
  });
});
