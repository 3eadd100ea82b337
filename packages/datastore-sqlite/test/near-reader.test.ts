import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdtemp, rm, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { nextTurn } from "@k3s/async";
import Database from "better-sqlite3";
import { NearReader } from "../src/near-reader.ts";

const SETTINGS = {
  isReadOnly: false,
  cachePages: -1024,
  busyTimeoutMs: 0,
  synchronous: "FULL",
  autoVacuum: "INCREMENTAL",
  secureDelete: undefined,
} as const;

async function fileOfRows(t: TestContext, count: number) {
  const folder = await mkdtemp(join(tmpdir(), "k3s-near-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const path = join(folder, "state.db");
  const writer = new Database(path);
  t.after(() => writer.close());
  writer.pragma("journal_mode = WAL");
  writer.exec("CREATE TABLE kine (id INTEGER PRIMARY KEY, value BLOB)");
  const insert = writer.prepare("INSERT INTO kine VALUES (?, ?)");
  for (let id = 1; id <= count; id++) insert.run(id, Buffer.from(`value ${id}`));
  const near = new NearReader({ ...SETTINGS, path }, { look: () => true });
  t.after(() => {
    near.closeConnection();
    near.closeFile();
  });
  return { path, writer, near };
}

const texts = (values: readonly (Buffer | undefined)[]) => values.map((value) => value?.toString());

test("reads what was written a moment ago, in the log or in the file", async (t) => {
  const { near, writer } = await fileOfRows(t, 10);
  assert.deepEqual(texts(near.values([3, 99, 1])), ["value 3", undefined, "value 1"]);
  writer.prepare("INSERT INTO kine VALUES (99, 'late')").run();
  assert.deepEqual(texts(near.values([99])), ["late"]);
  writer.pragma("wal_checkpoint(TRUNCATE)");
  assert.deepEqual(texts(near.values([99, 10])), ["late", "value 10"]);
});

test("leaves to others what may have to come from the disk", async (t) => {
  const { path } = await fileOfRows(t, 10);
  let [nowMs, isCached] = [0, true];
  const near = new NearReader({ ...SETTINGS, path }, { nowMs: () => nowMs, look: () => isCached });
  t.after(() => {
    near.closeConnection();
    near.closeFile();
  });
  assert.deepEqual(texts(near.values([1])), ["value 1"]);
  isCached = false;
  assert.deepEqual(texts(near.values([1])), ["value 1"], "a look holds for a while");
  nowMs += 1000;
  assert.deepEqual(near.values([1]), []);
});

test("asks the kernel whether all of the file is in memory", async (t) => {
  const { path } = await fileOfRows(t, 10);
  await truncate(path, 64 * 1024 * 1024); // the end is a hole, which is not in memory; SQLite does not look there
  const partly = new NearReader({ ...SETTINGS, path });
  t.after(() => {
    partly.closeConnection();
    partly.closeFile();
  });
  assert.deepEqual(partly.values([1]), []);
});

test("leaves to others what fails, and what comes after its end", async (t) => {
  const { near, writer } = await fileOfRows(t, 10);
  assert.deepEqual(texts(near.values([1])), ["value 1"]);
  writer.exec("DROP TABLE kine");
  assert.deepEqual(near.values([1]), []);
  near.closeConnection();
  assert.deepEqual(near.values([1]), []);
});

test("leaves to others what takes too long for one turn of the event loop", async (t) => {
  const { near } = await fileOfRows(t, 10);
  const rows = (length: number) => Array.from({ length }, (_, index) => index);
  assert.equal(near.values(rows(512)).length, 512);
  assert.deepEqual(near.values([1]), []);
  await nextTurn();
  assert.deepEqual(near.values(rows(513)), []);
  assert.equal(near.values(rows(256)).length, 256);
});

test("leaves to others what is too large for one turn of the event loop, and reads what comes before it", async (t) => {
  const { near, writer } = await fileOfRows(t, 10);
  const put = writer.prepare("INSERT INTO kine VALUES (?, ?)");
  for (let id = 101; id <= 356; id++) put.run(id, Buffer.alloc(id <= 300 ? 1024 : 200 * 1024, id));
  const rows = (first: number, count: number) => Array.from({ length: count }, (_, index) => first + index);
  assert.equal(near.values(rows(101, 64)).length, 64);
  const large = near.values([1, ...rows(301, 50)]);
  assert.deepEqual([large.length, large[0]?.toString(), large[3]?.length], [4, "value 1", 200 * 1024]);
  assert.deepEqual(near.values([1]), [], "of what was read in this turn");
  await nextTurn();
  assert.equal(near.values(rows(101, 200)).length, 200);
});

test("leaves the end of the log to the last connection, however often it could not read", async (t) => {
  const { writer, path } = await fileOfRows(t, 1);
  writer.exec("ALTER TABLE kine RENAME TO other");
  let nowMs = 0;
  const near = new NearReader({ ...SETTINGS, path }, { nowMs: () => nowMs, look: () => true });
  for (let look = 0; look < 3; look++) {
    assert.deepEqual(near.values([1]), []);
    nowMs += 1000;
  }
  near.closeConnection();
  writer.close();
  near.closeFile();
  assert.equal(existsSync(`${path}-wal`), false);
});
