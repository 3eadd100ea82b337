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
  const near = new NearReader({ ...SETTINGS, path });
  t.after(() => {
    near.closeConnection();
    near.closeFile();
  });
  return { path, writer, near };
}

const texts = (values: readonly (Buffer | undefined)[] | undefined) => values?.map((value) => value?.toString());

test("reads what was written a moment ago, in the log or in the file", async (t) => {
  const { near, writer } = await fileOfRows(t, 10);
  assert.deepEqual(texts(near.values([3, 99, 1])), ["value 3", undefined, "value 1"]);
  writer.prepare("INSERT INTO kine VALUES (99, 'late')").run();
  assert.deepEqual(texts(near.values([99])), ["late"]);
  writer.pragma("wal_checkpoint(TRUNCATE)");
  assert.deepEqual(texts(near.values([99, 10])), ["late", "value 10"]);
});

test("leaves to others what may have to come from the disk", async (t) => {
  const { near: whole, path } = await fileOfRows(t, 10);
  assert.deepEqual(texts(whole.values([1])), ["value 1"]);
  await truncate(path, 64 * 1024 * 1024); // the end is a hole, which is not in memory; SQLite does not look there
  const partly = new NearReader({ ...SETTINGS, path });
  t.after(() => partly.closeFile());
  assert.equal(partly.values([1]), undefined);
});

test("leaves to others what fails, and what comes after its end", async (t) => {
  const { near, writer } = await fileOfRows(t, 10);
  assert.deepEqual(texts(near.values([1])), ["value 1"]);
  writer.exec("DROP TABLE kine");
  assert.equal(near.values([1]), undefined);
  near.closeConnection();
  assert.equal(near.values([1]), undefined);
});

test("leaves to others what takes too long for one turn of the event loop", async (t) => {
  const { near } = await fileOfRows(t, 10);
  const rows = (length: number) => Array.from({ length }, (_, index) => index);
  assert.equal(near.values(rows(512))?.length, 512);
  assert.equal(near.values([1]), undefined);
  await nextTurn();
  assert.equal(near.values(rows(513)), undefined);
  assert.equal(near.values(rows(256))?.length, 256);
});

test("leaves the end of the log to the last connection, however often it could not read", async (t) => {
  const { writer, path } = await fileOfRows(t, 1);
  writer.exec("ALTER TABLE kine RENAME TO other");
  let nowMs = 0;
  const near = new NearReader({ ...SETTINGS, path }, () => nowMs);
  for (let look = 0; look < 3; look++) {
    assert.equal(near.values([1]), undefined);
    nowMs += 1000;
  }
  near.closeConnection();
  writer.close();
  near.closeFile();
  assert.equal(existsSync(`${path}-wal`), false);
});
