import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { OpenStore } from "@k3s/datastore";
import { collectLog, contents } from "@k3s/testkit";
import { openPostgresReader } from "../src/index.ts";
import { TestDatabase } from "./support/test-database.ts";

const database = TestDatabase.forFile();

const OLD_TABLE = `CREATE TABLE key_value (name VARCHAR(255), value bytea, create_revision INTEGER, revision INTEGER, ttl INTEGER,
  version INTEGER, del INTEGER, old_value bytea, id SERIAL PRIMARY KEY, old_revision INTEGER)`;
const KINE = `CREATE TABLE kine (id BIGSERIAL PRIMARY KEY, name TEXT COLLATE "C", created INTEGER, deleted INTEGER, create_revision BIGINT,
  prev_revision BIGINT, lease INTEGER, value bytea, old_value bytea)`;
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
  ["/registry/ttl", "t", 1, 0, "0", "0", 15, null],
  ["/registry/a", "a2", 1, 0, "0", "0", 0, null],
  ["/registry/A", "other", 1, 0, "0", "0", 0, null],
];

const CREATED = "SELECT id FROM kine WHERE created = 1 AND name LIKE '/%' AND name <> '/registry/health' ORDER BY id";

/** All but the key whose time to live may be over, and the one that a store adds. */
async function lasting(store: OpenStore): Promise<readonly string[]> {
  return (await contents(store)).filter((key) => !/^[/]registry[/](?:ttl|health)/.test(key));
}

describe("the table of kine's predecessor", () => {
  for (const [state, ...before] of [["there is no table kine"], ["kine is empty", KINE]])
    test(`its newest rows are copied once when ${state}`, async (t) => {
      const name = database.newName();
      await database.sql(t, name, OLD_TABLE, ...OLD_ROWS, ...before);
      const { log, lines } = collectLog();
      const store = await database.store(t, name, log);
      assert.match(lines.join(""), /"table":"key_value","rows":3,.*copied the rows of an old table/);
      assert.deepEqual(await database.sql(t, name, COPIED), EXPECTED);
      const keys = await lasting(store);
      assert.deepEqual(keys, ["/registry/A=other@3", "/registry/a=a2@2"]);
      await store.close();
      await database.sql(t, name, oldRow(9, "'/registry/late'", "'l'", 0, 0));
      const again = await database.store(t, name);
      assert.deepEqual(await lasting(again), keys);
      assert.deepEqual(await database.sql(t, name, CREATED), [["1"], ["2"], ["3"]]);
    });

  for (const [state, ...before] of [["there is no table kine"], ["kine is empty", KINE]])
    test(`a reader refuses to show nothing when ${state}, and names the cure`, async (t) => {
      const name = database.newName();
      await database.sql(t, name, OLD_TABLE, ...OLD_ROWS, ...before);
      const options = { dsn: database.dsn(name), env: {}, log: collectLog().log, signal: AbortSignal.timeout(20_000) };
      const message = /the rows of database "test\d+" are in table key_value, and table kine has none$/;
      await assert.rejects(openPostgresReader(options), {
        code: "ERR_POSTGRES_NOT_COPIED",
        message,
        hint: /^Start a server/,
      });
      await (await database.store(t, name)).close();
      const reader = await openPostgresReader(options);
      t.after(() => reader.close());
      assert.equal((await reader.heads(0, 3)).length, 3);
    });

  test("servers that begin at once copy its rows once", async (t) => {
    const name = database.newName();
    await database.sql(t, name, OLD_TABLE, ...OLD_ROWS);
    const stores = await Promise.all([1, 2, 3].map(() => database.store(t, name)));
    for (const store of stores) assert.equal((await lasting(store)).length, 2);
    assert.deepEqual(await database.sql(t, name, CREATED), [["1"], ["2"], ["3"]]);
  });

  test("another program's table of that name is left alone", async (t) => {
    const name = database.newName();
    await database.sql(
      t,
      name,
      "CREATE TABLE key_value (key TEXT, value TEXT)",
      "INSERT INTO key_value VALUES ('/a', 'x')",
    );
    assert.deepEqual(await contents(await database.store(t, name)), ['/registry/health={"health":"true"}@2']);
  });
});
