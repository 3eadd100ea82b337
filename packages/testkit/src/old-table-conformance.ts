import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import type { Store } from "@k3s/datastore";
import { collectLog } from "./collect-log.ts";
import type { OpenReader, SqlTestDatabase } from "./sql-test-database.ts";
import { contents } from "./store-ops.ts";

/** Inserts a row into the table of kine's predecessor. */
export const insertOld = (...values: readonly (number | string)[]) =>
  `INSERT INTO key_value (id, name, value, ttl, del) VALUES (${values.join(", ")})`;

/** Rows of it: keys that changed, one that was deleted, and one with a time to live. */
export const OLD_TABLE_ROWS = [
  insertOld(1, "'/registry/a'", "'a1'", 0, 0),
  insertOld(2, "'/registry/gone'", "'g1'", 0, 0),
  insertOld(4, "'/registry/ttl'", "'t'", 3600, 0),
  insertOld(5, "'/registry/a'", "'a2'", 0, 0),
  insertOld(7, "'/registry/gone'", "'g1'", 0, 1),
  insertOld(8, "'/registry/A'", "'other'", 0, 0),
];

/** What becomes of them: a query, and its answer where a 64-bit number is shown as `asRead` says. */
export const COPIED_ROWS = {
  query:
    "SELECT name, value, created, deleted, create_revision, prev_revision, lease, old_value FROM kine ORDER BY id LIMIT 3",
  expected: (asRead: (value: number) => unknown) => {
    const none = asRead(0);
    return [
      ["/registry/ttl", "t", 1, 0, none, none, 15, null],
      ["/registry/a", "a2", 1, 0, none, none, 0, null],
      ["/registry/A", "other", 1, 0, none, none, 0, null],
    ];
  },
};

const CREATED = "SELECT id FROM kine WHERE created = 1 AND name LIKE '/%' AND name <> '/registry/health' ORDER BY id";

interface OldTables {
  /** Makes the table of kine's predecessor. */
  readonly old: string;
  /** Makes kine's table. */
  readonly kine: string;
  /** Makes another program's table of the old name, which has the columns `key` and `value`. */
  readonly foreign: string;
  /** Code of the error of a reader that has nothing to read yet. */
  readonly notCopied: string;
  readonly openReader: OpenReader;
}

/** That rows which kine's predecessor left are copied once, as tests. */
export function oldTableConformance(database: SqlTestDatabase, tables: OldTables): void {
  const created = [1, 2, 3].map((id) => [database.asRead(id)]);
  const states: readonly (readonly [string, ...string[]])[] = [
    ["there is no table kine"],
    ["kine is empty", tables.kine],
  ];

  for (const [state, ...before] of states)
    test(`its newest rows are copied once when ${state}`, async (t) => {
      const name = await databaseWith(t, ...before);
      const { log, lines } = collectLog();
      const store = await database.store(t, name, log);
      assert.match(lines.join(""), /"table":"key_value","rows":3,.*copied the rows of an old table/);
      assert.deepEqual(await database.sql(t, name, COPIED_ROWS.query), COPIED_ROWS.expected(database.asRead));
      const keys = await lasting(store);
      assert.deepEqual(keys, ["/registry/A=other@3", "/registry/a=a2@2"]);
      await store.close();
      await database.sql(t, name, insertOld(9, "'/registry/late'", "'l'", 0, 0));
      const again = await database.store(t, name);
      assert.deepEqual(await lasting(again), keys);
      assert.deepEqual(await database.sql(t, name, CREATED), created);
    });

  for (const [state, ...before] of states)
    test(`a reader refuses to show nothing when ${state}, and names the cure`, async (t) => {
      const name = await databaseWith(t, ...before);
      const message = /the rows of database "test\d+" are in table key_value, and table kine has none$/;
      const refusal = { code: tables.notCopied, message, hint: /^Start a server/ };
      const choice = { dsn: database.dsn(name), log: collectLog().log, signal: AbortSignal.timeout(20_000) };
      await assert.rejects(tables.openReader(choice), refusal);
      await (await database.store(t, name)).close();
      const reader = await tables.openReader(choice);
      t.after(() => reader.close());
      assert.equal((await reader.heads(0, 3)).length, 3);
    });

  test("servers that begin at once copy its rows once", async (t) => {
    const name = await databaseWith(t);
    const stores = await Promise.all([1, 2, 3].map(() => database.store(t, name)));
    for (const store of stores) assert.equal((await lasting(store)).length, 2);
    assert.deepEqual(await database.sql(t, name, CREATED), created);
  });

  test("another program's table of that name is left alone", async (t) => {
    const name = database.newName();
    await database.sql(t, name, tables.foreign, "INSERT INTO key_value VALUES ('/a', 'x')");
    assert.deepEqual(await contents(await database.store(t, name)), ['/registry/health={"health":"true"}@2']);
  });

  async function databaseWith(t: TestContext, ...more: readonly string[]): Promise<string> {
    const name = database.newName();
    await database.sql(t, name, tables.old, ...OLD_TABLE_ROWS, ...more);
    return name;
  }
}

/** All but the key whose time to live may be over, and the one that a store adds. */
async function lasting(store: Store): Promise<readonly string[]> {
  return (await contents(store)).filter((key) => !/^[/]registry[/](?:ttl|health)/.test(key));
}
