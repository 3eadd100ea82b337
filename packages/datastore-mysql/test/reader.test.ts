import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import type { DatabaseReader, PutOp } from "@k3s/datastore";
import { collectLog } from "@k3s/testkit";
import { openMysqlReader } from "../src/index.ts";
import { TestDatabase } from "./support/test-database.ts";

const database = TestDatabase.forFile();

const KINE = `CREATE TABLE kine (id INTEGER AUTO_INCREMENT, name VARCHAR(630) CHARACTER SET ascii, created INTEGER, deleted INTEGER,
  create_revision INTEGER, prev_revision INTEGER, lease INTEGER, value MEDIUMBLOB, old_value MEDIUMBLOB, PRIMARY KEY (id))`;
const PUT = { kind: "put", prevKv: false, ignoreValue: false, ignoreLease: false } as const;
const ROW = "INSERT INTO kine (name,created,deleted,create_revision,prev_revision,lease,value) VALUES";

async function openReader(t: TestContext, dsn: string): Promise<DatabaseReader> {
  const reader = await openMysqlReader({ dsn, log: collectLog().log, signal: AbortSignal.timeout(20_000) });
  t.after(() => reader.close());
  return reader;
}

/** Databases, tables with their indexes, and the rows of kine. */
async function dump(t: TestContext, name: string): Promise<unknown> {
  const databases = await database.sql(t, "any", "SHOW DATABASES");
  const tables = await database.sql(t, name, "SHOW TABLES");
  const created = [];
  for (const [table] of tables) created.push(await database.sql(t, name, `SHOW CREATE TABLE ${String(table)}`));
  const rows = tables.length === 0 ? [] : await database.sql(t, name, "SELECT * FROM kine ORDER BY id");
  return { databases, created, rows };
}

/** What the reader says, after everything was read. */
async function readAll(reader: DatabaseReader) {
  const rows = await reader.heads(0, 100);
  const values = await reader.values(rows.map(({ id }) => id));
  const { leases, rowLeases, spans } = await reader.side();
  const { totalBytes } = await reader.size();
  assert.ok(totalBytes > 0);
  const names = rows.map(({ name }) => name);
  return { names, values: values.map(String), counts: [leases.length, rowLeases.size, spans.length] };
}

describe("openMysqlReader()", () => {
  test("makes no database, and no table", async (t) => {
    await database.sql(t, "any");
    const before = await dump(t, "any");
    const options = { log: collectLog().log, signal: AbortSignal.timeout(20_000) };
    const absent = { code: "ERR_MYSQL_ABSENT", message: /there is no database "typo"$/ };
    await assert.rejects(openMysqlReader({ dsn: database.dsn("typo"), ...options }), absent);
    const empty = { code: "ERR_MYSQL_ABSENT", message: /there is no table kine in database "any"$/ };
    await assert.rejects(openMysqlReader({ dsn: database.dsn("any"), ...options }), empty);
    assert.deepEqual(await dump(t, "any"), before);
  });

  test("leaves an old table as it is: no index, no tables, no rows removed, no holes filled", async (t) => {
    const name = database.newName();
    await database.sql(t, name, KINE, `${ROW} ('/a',1,0,0,0,0,'1'),('/a',0,0,1,1,0,'2'),('/a',0,0,1,1,0,'3')`);
    await database.sql(t, name, "UPDATE kine SET id=9 WHERE id=3");
    const before = await dump(t, name);
    const reader = await openReader(t, database.dsn(name));
    assert.deepEqual(await readAll(reader), { names: ["/a", "/a", "/a"], values: ["1", "2", "3"], counts: [0, 0, 0] });
    assert.deepEqual(await reader.findings(), [
      "table kine has no unique index on name and prev_revision; a server makes it when it starts",
      "1 rows are there twice; a server removes the older of each two",
    ]);
    await reader.close();
    assert.deepEqual(await dump(t, name), before);
  });

  test("needs no right but to read, and shows one moment of a table that a server writes", async (t) => {
    const name = database.newName();
    const store = await database.store(t, name);
    const lease = await store.leaseGrant({ id: 0n, ttlSeconds: 500 });
    const put: PutOp = { ...PUT, key: Buffer.from("/a"), value: Buffer.from("1"), lease: lease.id };
    await store.txn({ compare: [], success: [put], failure: [] });
    const user = `CREATE OR REPLACE USER 'reads'@'localhost' IDENTIFIED BY 'r'; GRANT SELECT ON ${name}.* TO 'reads'@'localhost'`;
    await (await database.connect(t)).query(user);
    const reader = await openReader(t, database.dsn(name, "reads:r"));
    const before = await readAll(reader);
    assert.deepEqual(before.counts, [1, 1, 0]);
    await store.txn({ compare: [], success: [put], failure: [] });
    assert.deepEqual(await readAll(reader), before);
    assert.deepEqual(await reader.findings(), []);
  });
});
