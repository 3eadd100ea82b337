import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import type { DatabaseReader, PutOp } from "@k3s/datastore";
import { KINE_INSERT } from "./beside-kine-conformance.ts";
import { collectLog } from "./collect-log.ts";
import type { OpenReader, SqlTestDatabase } from "./sql-test-database.ts";

const PUT: Omit<PutOp, "lease"> = {
  kind: "put",
  key: Buffer.from("/a"),
  value: Buffer.from("1"),
  prevKv: false,
  ignoreValue: false,
  ignoreLease: false,
};

interface Reading {
  readonly openReader: OpenReader;
  /** Makes kine's table as it once was, without indexes. */
  readonly oldTable: string;
  /** Everything that was made in a database, and the other databases there are. */
  readonly dump: (t: TestContext, name: string) => Promise<unknown>;
  /** Makes a user who may read the tables of a database; answers with his endpoint. */
  readonly addReader: (t: TestContext, name: string) => Promise<string>;
}

/** That a reader shows one moment of a database and leaves it as it is, as tests. */
export function readerConformance(database: SqlTestDatabase, reading: Reading): void {
  test("leaves an old table as it is: no index, no tables, no rows removed, no holes filled", async (t) => {
    const name = database.newName();
    const rows = "('/a',1,0,0,0,0,'1'), ('/a',0,0,1,1,0,'2'), ('/a',0,0,1,1,0,'3')";
    await database.sql(t, name, reading.oldTable, `${KINE_INSERT} ${rows}`);
    await database.sql(t, name, "UPDATE kine SET id = 9 WHERE id = 3");
    const before = await reading.dump(t, name);
    const reader = await open(t, database.dsn(name));
    assert.deepEqual(await readAll(reader), { names: ["/a", "/a", "/a"], values: ["1", "2", "3"], counts: [0, 0, 0] });
    assert.deepEqual(await reader.findings(), [
      "table kine has no unique index on name and prev_revision; a server makes it when it starts",
      "1 rows are there twice; a server removes the older of each two",
    ]);
    await reader.close();
    assert.deepEqual(await reading.dump(t, name), before);
  });

  test("needs no right but to read, and shows one moment of a table that a server writes", async (t) => {
    const name = database.newName();
    const store = await database.store(t, name);
    const lease = await store.leaseGrant({ id: 0n, ttlSeconds: 500 });
    const put: PutOp = { ...PUT, lease: lease.id };
    await store.txn({ compare: [], success: [put], failure: [] });
    const reader = await open(t, await reading.addReader(t, name));
    const before = await readAll(reader);
    assert.deepEqual(before.counts, [1, 1, 0]);
    await store.txn({ compare: [], success: [put], failure: [] });
    assert.deepEqual(await readAll(reader), before);
    assert.deepEqual(await reader.findings(), []);
  });

  async function open(t: TestContext, dsn: string): Promise<DatabaseReader> {
    const signal = AbortSignal.timeout(20_000);
    const reader = await reading.openReader({ dsn, log: collectLog().log, signal });
    t.after(() => reader.close());
    return reader;
  }
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
