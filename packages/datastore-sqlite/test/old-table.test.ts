import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { describe, test, type TestContext } from "node:test";
import type { OpenStore } from "@k3s/datastore";
import { openSqliteReader } from "../src/index.ts";
import { below, query } from "./support/ops.ts";
import { sql } from "./support/python.ts";
import { storeAt, tempDatabase } from "./support/temp-store.ts";

const OLD_TABLE = `CREATE TABLE key_value (name INTEGER, value BLOB, create_revision INTEGER, revision INTEGER, ttl INTEGER,
  version INTEGER, del INTEGER, old_value BLOB, id INTEGER PRIMARY KEY AUTOINCREMENT, old_revision INTEGER)`;
const KINE = `CREATE TABLE kine (id INTEGER PRIMARY KEY AUTOINCREMENT, name INTEGER, created INTEGER, deleted INTEGER,
  create_revision INTEGER, prev_revision INTEGER, lease INTEGER, value BLOB, old_value BLOB)`;
const oldRow = (...values: readonly (number | string)[]) =>
  `INSERT INTO key_value (id, name, value, ttl, del) VALUES (${values.join(", ")})`;
const OLD_ROWS = [
  oldRow(1, "'/registry/a'", "'a1'", 0, 0),
  oldRow(2, "'/registry/gone'", "'g1'", 0, 0),
  oldRow(4, "'/registry/ttl'", "'t'", 3600, 0),
  oldRow(5, "'/registry/a'", "'a2'", 0, 0),
  oldRow(7, "'/registry/gone'", "'g1'", 0, 1),
  oldRow(8, "'/registry/A'", "'other'", 0, 0),
];
const COPIED =
  "SELECT name, value, created, deleted, create_revision, prev_revision, lease, old_value FROM kine ORDER BY id LIMIT 3";
const EXPECTED = [
  ["/registry/ttl", "t", 1, 0, 0, 0, 15, null],
  ["/registry/a", "a2", 1, 0, 0, 0, 0, null],
  ["/registry/A", "other", 1, 0, 0, 0, 0, null],
];

async function fileWith(t: TestContext, ...statements: readonly string[]): Promise<string> {
  const path = await tempDatabase(t);
  await mkdir(dirname(path));
  await sql(path, ...statements);
  return path;
}

/** Without the key whose time to live may be over. */
async function contents(store: OpenStore): Promise<readonly string[]> {
  const { kvs } = await store.range(query(below("/")));
  const shown = kvs.map(({ key, value, modRevision }) => `${key.toString()}=${value.toString()}@${modRevision}`);
  return shown.filter((key) => !key.startsWith("/registry/ttl"));
}

describe("the table of kine's predecessor", () => {
  for (const [state, ...before] of [["there is no table kine"], ["kine is empty", KINE]])
    test(`its newest rows are copied once when ${state}`, async (t) => {
      const path = await fileWith(t, OLD_TABLE, ...OLD_ROWS, ...before);
      const store = await storeAt(t, path, { healthKey: false });
      assert.deepEqual(await sql(path, COPIED), EXPECTED);
      const keys = await contents(store);
      assert.deepEqual(keys, ["/registry/A=other@3", "/registry/a=a2@2"]);
      await store.close();
      await sql(path, oldRow(9, "'/registry/late'", "'l'", 0, 0));
      const again = await storeAt(t, path, { healthKey: false });
      assert.deepEqual(await contents(again), keys);
      assert.deepEqual(await sql(path, "SELECT id FROM kine WHERE created = 1 AND name LIKE '/%' ORDER BY id"), [
        [1],
        [2],
        [3],
      ]);
    });

  for (const [state, ...before] of [["there is no table kine"], ["kine is empty", KINE]])
    test(`a reader refuses to show nothing when ${state}, and names the cure`, async (t) => {
      const path = await fileWith(t, OLD_TABLE, ...OLD_ROWS, ...before);
      const message = /its rows are in table key_value, and table kine has none$/;
      await assert.rejects(openSqliteReader(path), { code: "ERR_SQLITE_NOT_COPIED", message, hint: /^Start a server/ });
      await (await storeAt(t, path, { healthKey: false })).close();
      const reader = await openSqliteReader(path);
      t.after(() => reader.close());
      assert.equal((await reader.heads(0, 3)).length, 3);
    });

  test("is left alone when kine has rows", async (t) => {
    const row = "INSERT INTO kine VALUES (1, '/registry/new', 1, 0, 0, 0, 0, 'n', NULL)";
    const path = await fileWith(t, OLD_TABLE, ...OLD_ROWS, KINE, row);
    assert.deepEqual(await contents(await storeAt(t, path, { healthKey: false })), ["/registry/new=n@1"]);
  });

  test("another program's table of that name is left alone", async (t) => {
    const path = await fileWith(
      t,
      "CREATE TABLE key_value (key TEXT, value TEXT)",
      "INSERT INTO key_value VALUES ('/a', 'x')",
    );
    assert.deepEqual(await contents(await storeAt(t, path, { healthKey: false })), []);
  });
});
