import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import type { DatabaseReader, PutOp } from "@k3s/datastore";
import { collectLog } from "@k3s/testkit";
import { openPostgresReader } from "../src/index.ts";
import { TestDatabase } from "./support/test-database.ts";

const database = TestDatabase.forFile();

const KINE = `CREATE TABLE kine (id SERIAL PRIMARY KEY, name VARCHAR(630), created INTEGER, deleted INTEGER, create_revision INTEGER,
  prev_revision INTEGER, lease INTEGER, value bytea, old_value bytea)`;
const PUT = { kind: "put", prevKv: false, ignoreValue: false, ignoreLease: false } as const;
const ROW = "INSERT INTO kine (name, created, deleted, create_revision, prev_revision, lease, value) VALUES";

const options = () => ({ env: {}, log: collectLog().log, signal: AbortSignal.timeout(20_000) });

async function openReader(t: TestContext, dsn: string): Promise<DatabaseReader> {
  const reader = await openPostgresReader({ dsn, ...options() });
  t.after(() => reader.close());
  return reader;
}

/** Databases, everything that was made in this one, and the rows of kine. */
async function dump(t: TestContext, name: string): Promise<unknown> {
  const databases = await database.sql(t, "postgres", "SELECT datname::text FROM pg_database ORDER BY 1");
  const relations = await database.sql(
    t,
    name,
    "SELECT relname::text, relkind::text FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1",
  );
  const indexes = await database.sql(t, name, "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1");
  const rows = relations.some(([table]) => table === "kine")
    ? await database.sql(t, name, "SELECT t::text FROM kine t ORDER BY id")
    : [];
  return { databases, relations, indexes, rows };
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

describe("openPostgresReader()", () => {
  test("makes no database, and no table", async (t) => {
    const before = await dump(t, "postgres");
    const absent = { code: "ERR_POSTGRES_ABSENT", message: /there is no database "typo"$/ };
    await assert.rejects(openPostgresReader({ dsn: database.dsn("typo"), ...options() }), absent);
    const empty = { code: "ERR_POSTGRES_ABSENT", message: /there is no table kine in database "postgres"$/ };
    await assert.rejects(openPostgresReader({ dsn: database.dsn("postgres"), ...options() }), empty);
    assert.deepEqual(await dump(t, "postgres"), before);
  });

  test("leaves an old table as it is: no index, no tables, no rows removed, no holes filled", async (t) => {
    const name = database.newName();
    await database.sql(t, name, KINE);
    await database.sql(t, name, `${ROW} ('/a',1,0,0,0,0,'1'), ('/a',0,0,1,1,0,'2'), ('/a',0,0,1,1,0,'3')`);
    await database.sql(t, name, "UPDATE kine SET id = 9 WHERE id = 3");
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
    await database.sql(t, name, "CREATE USER reads");
    await database.sql(t, name, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reads");
    const reader = await openReader(t, database.dsn(name, "reads"));
    const before = await readAll(reader);
    assert.deepEqual(before.counts, [1, 1, 0]);
    await store.txn({ compare: [], success: [put], failure: [] });
    assert.deepEqual(await readAll(reader), before);
    assert.deepEqual(await reader.findings(), []);
  });
});
