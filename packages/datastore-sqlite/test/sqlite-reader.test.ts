import assert from "node:assert/strict";
import { mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { describe, test } from "node:test";
import { NodeError } from "@k3s/errors";
import { DriverError } from "@k3s/datastore";
import { openSqliteReader } from "../src/index.ts";
import { create } from "./support/ops.ts";
import { spoilHeads } from "./support/spoil-heads.ts";
import { sql } from "./support/python.ts";
import { storeAt, tempDatabase } from "./support/temp-store.ts";

describe("openSqliteReader()", () => {
  test("shows one moment of a file whose server goes on writing, and then what was written", async (t) => {
    const path = await tempDatabase(t);
    const store = await storeAt(t, path);
    await store.txn(create("/a", "1"));
    const reader = await openSqliteReader(path);
    t.after(() => reader.close());
    const before = await reader.atOneMoment(async () => {
      const heads = await reader.heads(0, 100);
      await store.txn(create("/b", "2"));
      assert.deepEqual(await reader.heads(0, 100), heads);
      return heads;
    });
    assert.equal(before.at(-1)?.name, "/a");
    assert.deepEqual(await reader.integrity(), []);
    assert.ok((await reader.size()).totalBytes > 0);
    const added = await reader.heads(before.at(-1)?.id ?? 0, 100);
    assert.deepEqual(
      added.map(({ name }) => name),
      ["/b"],
    );
    assert.deepEqual((await reader.values(added.map(({ id }) => id))).map(String), ["2"]);
  });

  test("lets go of that moment also when the reading fails, and nobody's checkpoint waits then", async (t) => {
    const path = await tempDatabase(t);
    const store = await storeAt(t, path);
    await store.txn(create("/a", "1"));
    const reader = await openSqliteReader(path);
    t.after(() => reader.close());
    const failure = reader.atOneMoment(() => Promise.reject(new Error("the reading fails")));
    await assert.rejects(failure, /the reading fails/);
    await store.txn(create("/b", "2"));
    const [[isHeldUp] = []] = await sql(path, "PRAGMA wal_checkpoint(FULL)");
    assert.equal(isHeldUp, 0);
  });

  test("shows what a compaction removes meanwhile, and the leases of that moment", async (t) => {
    const path = await tempDatabase(t);
    const store = await storeAt(t, path);
    await store.txn(create("/a", "1"));
    const reader = await openSqliteReader(path);
    t.after(() => reader.close());
    const rows = (await reader.heads(0, 100)).map(({ id }) => id);
    const read = async () => [await reader.values(rows), await reader.side(), await reader.findings()];
    await reader.atOneMoment(async () => {
      const before = await read();
      await sql(
        path,
        "INSERT INTO kine_lease (id, ttl, expires_at) VALUES (7, 10, 0)",
        "INSERT INTO kine (name, created, deleted, create_revision, prev_revision) VALUES ('/b', 1, 0, 0, 0), ('/b', 1, 0, 0, 0)",
        "DELETE FROM kine WHERE name = '/a'",
      );
      assert.deepEqual(await read(), before);
    });
  });

  test("holds up nobody who writes to a file without a write-ahead log", async (t) => {
    const path = await tempDatabase(t);
    await (await storeAt(t, path)).close();
    await sql(path, "PRAGMA journal_mode = DELETE");
    const reader = await openSqliteReader(path);
    t.after(() => reader.close());
    await reader.atOneMoment(async () => {
      await reader.heads(0, 100);
      await sql(path, "INSERT INTO kine (name, created, deleted) VALUES ('/a', 1, 0)");
      assert.equal((await reader.heads(0, 100)).at(-1)?.name, "/a");
    });
  });

  test("changes nothing in a file that nobody uses", async (t) => {
    const path = await tempDatabase(t);
    const store = await storeAt(t, path);
    await store.txn(create("/a", "1"));
    await store.close();
    const bytes = await readFile(path);
    const reader = await openSqliteReader(path);
    assert.ok((await reader.heads(0, 10)).length > 0);
    assert.deepEqual((await reader.side()).leases, []);
    await reader.close();
    assert.ok((await readFile(path)).equals(bytes));
    const again = await storeAt(t, path); // nor does it keep a server from it
    await again.txn(create("/b", "1"));
  });

  test("reads a file that only kine has used", async (t) => {
    const path = await tempDatabase(t);
    await mkdir(dirname(path));
    await sql(
      path,
      `CREATE TABLE kine (id INTEGER PRIMARY KEY AUTOINCREMENT, name INTEGER, created INTEGER, deleted INTEGER,
         create_revision INTEGER, prev_revision INTEGER, lease INTEGER, value BLOB, old_value BLOB);`,
      "INSERT INTO kine VALUES (1, '/a', 1, 0, 0, 0, 0, x'31', NULL)",
    );
    const reader = await openSqliteReader(path);
    t.after(() => reader.close());
    assert.deepEqual(
      (await reader.heads(0, 10)).map(({ name }) => name),
      ["/a"],
    );
    assert.deepEqual(await reader.side(), { leases: [], rowLeases: new Map(), spans: [] });
  });

  test("leaves an old file as it is, in which rows are there twice and the unique index is not", async (t) => {
    const path = await tempDatabase(t);
    await mkdir(dirname(path));
    await sql(
      path,
      `CREATE TABLE kine (id INTEGER PRIMARY KEY AUTOINCREMENT, name INTEGER, created INTEGER, deleted INTEGER,
         create_revision INTEGER, prev_revision INTEGER, lease INTEGER, value BLOB, old_value BLOB);`,
      "INSERT INTO kine VALUES (1,'/a',1,0,0,0,0,x'31',NULL), (2,'/a',0,0,1,1,0,x'32',NULL), (3,'/a',0,0,1,1,0,x'33',NULL)",
    );
    const before = [await readFile(path), await readdir(dirname(path))];
    const reader = await openSqliteReader(path);
    assert.equal((await reader.heads(0, 10)).length, 3);
    assert.deepEqual(await reader.findings(), [
      "1 rows are replaced by a newer row that follows the same row of the same key, as when two programs change it at once",
    ]);
    assert.deepEqual(await reader.integrity(), []);
    await reader.side();
    await reader.close();
    assert.deepEqual([await readFile(path), await readdir(dirname(path))], before);
  });

  test("finds damage", async (t) => {
    const path = await tempDatabase(t);
    const store = await storeAt(t, path);
    await Promise.all(Array.from({ length: 300 }, (_, i) => store.txn(create(`/a/${i}`, "v".repeat(500)))));
    await store.close();
    const bytes = await readFile(path);
    bytes.fill(0x5a, bytes.length - 8 * 4096, bytes.length - 4 * 4096);
    await writeFile(path, bytes);
    const reader = await openSqliteReader(path);
    t.after(() => reader.close());
    assert.notDeepEqual(await reader.integrity(), []);
  });

  test("tells damage that is met while reading with its cure, as a server does that loads it", async (t) => {
    const path = await tempDatabase(t);
    const store = await storeAt(t, path);
    await Promise.all(Array.from({ length: 1000 }, (_, i) => store.txn(create(`/a/${i}`, "v"))));
    await store.close();
    await spoilHeads(path);
    const isTold = (error: unknown) =>
      error instanceof NodeError &&
      error.code === "ERR_SQLITE_CORRUPT" &&
      error.hint?.includes(`sqlite3 ${path} .recover`) === true;
    const reader = await openSqliteReader(path);
    t.after(() => reader.close());
    await assert.rejects(
      reader.heads(0, 10_000),
      (error) => error instanceof DriverError && error.kind === "failed" && isTold(error.cause),
    );
    await assert.rejects(storeAt(t, path), isTold);
  });

  const refused = [
    ["does not exist", "ERR_SQLITE_ABSENT", () => Promise.resolve()],
    ["is no database", "ERR_SQLITE_NOT_A_DATABASE", (path: string) => writeFile(path, "x".repeat(8192))],
    ["has no table", "ERR_SQLITE_NO_TABLE", (path: string) => sql(path, "CREATE TABLE other (id INTEGER)")],
    ["is a folder", "ERR_SQLITE_IS_FOLDER", (path: string) => mkdir(path)],
    [
      "has another table kine",
      "ERR_SQLITE_OTHER_SCHEMA",
      (path: string) => sql(path, "CREATE TABLE kine (id INTEGER PRIMARY KEY, name TEXT)"),
    ],
  ] as const;
  for (const [name, code, make] of refused) {
    test(`refuses a file that ${name}, and makes none`, async (t) => {
      const path = await tempDatabase(t);
      await mkdir(dirname(path));
      await make(path);
      await assert.rejects(openSqliteReader(path), (error) => error instanceof NodeError && error.code === code);
      if (code === "ERR_SQLITE_ABSENT") assert.deepEqual(await readdir(dirname(path)), []);
      else assert.ok((await stat(path)).size > 0);
    });
  }
});
