import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { describe, test, type TestContext } from "node:test";
import type { OpenStore } from "@k3s/datastore";
import { COPIED_ROWS, insertOld, OLD_TABLE_ROWS } from "@k3s/testkit";
import { openSqliteReader } from "../src/index.ts";
import { below, query } from "./support/ops.ts";
import { sql } from "./support/python.ts";
import { storeAt, tempDatabase } from "./support/temp-store.ts";

const OLD_TABLE = `CREATE TABLE key_value (name INTEGER, value BLOB, create_revision INTEGER, revision INTEGER, ttl INTEGER,
  version INTEGER, del INTEGER, old_value BLOB, id INTEGER PRIMARY KEY AUTOINCREMENT, old_revision INTEGER)`;
const KINE = `CREATE TABLE kine (id INTEGER PRIMARY KEY AUTOINCREMENT, name INTEGER, created INTEGER, deleted INTEGER,
  create_revision INTEGER, prev_revision INTEGER, lease INTEGER, value BLOB, old_value BLOB)`;

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
      const path = await fileWith(t, OLD_TABLE, ...OLD_TABLE_ROWS, ...before);
      const store = await storeAt(t, path, { healthKey: false });
      assert.deepEqual(await sql(path, COPIED_ROWS.query), COPIED_ROWS.expected(Number));
      const keys = await contents(store);
      assert.deepEqual(keys, ["/registry/A=other@3", "/registry/a=a2@2"]);
      await store.close();
      await sql(path, insertOld(9, "'/registry/late'", "'l'", 0, 0));
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
      const path = await fileWith(t, OLD_TABLE, ...OLD_TABLE_ROWS, ...before);
      const message = /its rows are in table key_value, and table kine has none$/;
      await assert.rejects(openSqliteReader(path), { code: "ERR_SQLITE_NOT_COPIED", message, hint: /^Start a server/ });
      await (await storeAt(t, path, { healthKey: false })).close();
      const reader = await openSqliteReader(path);
      t.after(() => reader.close());
      assert.equal((await reader.heads(0, 3)).length, 3);
    });

  test("is left alone when kine has rows", async (t) => {
    const row = "INSERT INTO kine VALUES (1, '/registry/new', 1, 0, 0, 0, 0, 'n', NULL)";
    const path = await fileWith(t, OLD_TABLE, ...OLD_TABLE_ROWS, KINE, row);
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
