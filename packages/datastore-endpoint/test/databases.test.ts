import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { promisify } from "node:util";
import { openStore, type Store } from "@k3s/datastore";
import { NodeError } from "@k3s/errors";
import { createLogger } from "@k3s/log";
import { MetricsRegistry } from "@k3s/metrics";
import { MariaDbServer, NatsServer, PostgresServer, until } from "@k3s/testkit";
import { checkEndpoint, DatastoreMetrics, openDatastore } from "../src/index.ts";

const silent = createLogger({ level: "error", format: "text", write: () => undefined });
const execute = promisify(execFile);

async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "k3s-databases-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

async function storeOn(text: string, metrics: MetricsRegistry) {
  const endpoint = await checkEndpoint(text, {});
  assert.notEqual(endpoint.kind, "etcd");
  if (endpoint.kind === "etcd") throw new Error("not reached");
  const driver = await openDatastore({
    endpoint,
    folder: "/nonexistent",
    tls: {},
    log: silent,
    signal: AbortSignal.timeout(60_000),
    metrics: new DatastoreMetrics(metrics),
    pool: { maxOpen: 4 },
  });
  return await openStore(driver, { log: silent });
}

const NONE = Buffer.alloc(0);
const put = (store: Store, key: string, value: string) =>
  store.txn({
    compare: [],
    success: [
      {
        ...{ kind: "put", key: Buffer.from(key), value: Buffer.from(value), lease: 0n },
        ...{ prevKv: false, ignoreValue: false, ignoreLease: false },
      },
    ],
    failure: [],
  });
const putWithLease = (store: Store, lease: bigint) => {
  const values = { key: Buffer.from("/leased"), value: NONE, prevKv: false, ignoreValue: false, ignoreLease: false };
  return store.txn({ compare: [], success: [{ kind: "put", lease, ...values }], failure: [] });
};
const get = async (store: Store, key: string) => {
  const query = { key: Buffer.from(key), rangeEnd: NONE, limit: 0, revision: 0, keysOnly: false, countOnly: false };
  return (await store.range(query)).kvs[0]?.value.toString();
};

/** Two servers on one database see what the other writes, every statement is measured, and connections are counted where they are. */
async function assertShared(endpoint: string, connections?: number): Promise<void> {
  await using stores = new AsyncDisposableStack(); // closed before their server is
  const open = async (metrics: MetricsRegistry) =>
    stores.adopt(await storeOn(endpoint, metrics), (store) => store.close());
  const metrics = new MetricsRegistry();
  const [a, b] = [await open(metrics), await open(new MetricsRegistry())];
  await put(a, "/a", "1");
  assert.equal(await get(b, "/a"), "1");
  await put(b, "/a", "2");
  assert.equal(await get(a, "/a"), "2");
  const text = await metrics.text();
  assert.match(text, /^kine_sql_total\{name="commit",error_code=""\} [1-9]/m);
  assert.match(text, /^kine_sql_total\{name="position",error_code=""\} [1-9]/m);
  const limit = /^go_sql_max_open_connections\{db_name="kine"\} (\d+)$/m.exec(text)?.[1];
  assert.equal(limit, connections?.toString());
  if (connections === undefined) return;
  // One for writing, one for reading, and one to listen on where the database pushes.
  await until("all are open that are used", async () => (await openConnections(metrics)) >= connections - 1);
  assert.ok((await openConnections(metrics)) <= connections);
}

async function openConnections(metrics: MetricsRegistry): Promise<number> {
  return Number(/^go_sql_open_connections\{db_name="kine"\} (\d+)$/m.exec(await metrics.text())?.[1]);
}

/** A lease that one server has ended is gone for the other one, which knew it well, whether it had keys or not. */
async function assertLeasesEnd(endpoint: string): Promise<void> {
  await using stores = new AsyncDisposableStack();
  const open = async () => stores.adopt(await storeOn(endpoint, new MetricsRegistry()), (store) => store.close());
  const [a, b] = [await open(), await open()];
  const notFound = { reason: "leaseNotFound" };
  const asks: readonly [string, (id: bigint) => Promise<unknown>][] = [
    ["renewal", (id) => assert.rejects(b.leaseKeepAlive(id), notFound)],
    ["end", (id) => assert.rejects(b.leaseRevoke(id), notFound)],
    ["put", (id) => assert.rejects(putWithLease(b, id), notFound)],
    ["question", async (id) => assert.equal((await b.leaseTimeToLive(id)).remainingTtlSeconds, -1)],
    ["list", async (id) => assert.equal((await b.leaseList()).includes(id), false)],
    ["grant", async (id) => assert.equal((await b.leaseGrant({ id, ttlSeconds: 60 })).id, id)],
  ];
  for (const [i, [, ask]] of asks.entries()) {
    for (const id of [BigInt(100 + i), BigInt(200 + i)]) {
      await a.leaseGrant({ id, ttlSeconds: 600 });
      await b.leaseKeepAlive(id);
      if (id >= 200n) await putWithLease(a, id);
      await a.leaseRevoke(id);
      await ask(id);
      await assert.rejects(
        a.leaseRevoke(id).then(() => a.leaseRevoke(id)),
        notFound,
      ); // whatever it was, it is over
    }
  }
}

describe("openDatastore(): databases of others", () => {
  test("opens MariaDB, whose database is made when missing", async (t) => {
    const server = await MariaDbServer.start({ folder: await temporaryFolder(t) });
    t.after(() => server[Symbol.asyncDispose]());
    await assertShared(`mysql://root@tcp(127.0.0.1:${server.port})/mine`, 3);
    await assertLeasesEnd(`mysql://root@tcp(127.0.0.1:${server.port})/leases`);
  });

  test("opens PostgreSQL under both of its schemes, and makes a database that is missing", async (t) => {
    const server = await PostgresServer.start({ folder: await temporaryFolder(t) });
    t.after(() => server[Symbol.asyncDispose]());
    await assertShared(`postgres://postgres@127.0.0.1:${server.port}/one`, 4);
    await assertShared(`postgresql://postgres@127.0.0.1:${server.port}/two?sslmode=disable`, 4);
    await assertLeasesEnd(`postgres://postgres@127.0.0.1:${server.port}/leases`);
  });

  test("opens NATS under both of its schemes", async (t) => {
    const server = await NatsServer.start(await temporaryFolder(t));
    t.after(() => server.stop());
    await assertShared(`nats://${server.endpoint}?bucket=one`);
    await assertShared(`jetstream://${server.endpoint}?bucket=two`);
    await assertLeasesEnd(`nats://${server.endpoint}?bucket=leases`);
  });

  test("loads no client library of theirs for SQLite", async (t) => {
    const fixture = join(import.meta.dirname, "fixtures/loaded-modules.ts");
    const { stdout } = await execute(process.execPath, [fixture, await temporaryFolder(t)]);
    assert.match(stdout, /datastore-sqlite/);
    assert.doesNotMatch(stdout, /datastore-(mysql|postgres|nats|sql\/)|mysql2|node_modules\/pg\/|nats-io/);
  });
});

describe("checkEndpoint(): what a driver finds wrong", () => {
  const cases = [
    ["mysql://root:hunter2@tcp(h:3306)", "ERR_MYSQL_DSN"],
    ["mysql://root:hunter2@tcp(h:3306)/k?tls=maybe", "ERR_MYSQL_DSN"],
    ["postgres://u:hunter2@h:99999/k", "ERR_POSTGRES_DSN"],
    ["postgresql://u:hunter2@h/k?sslmode=maybe", "ERR_POSTGRES_DSN"],
    ["postgres://u:hunter2%2@h/k", "ERR_POSTGRES_DSN"],
    ["nats://u:hunter2@h:99999", "ERR_NATS_ENDPOINT"],
    ["nats://u:hunter2@h?replicas=9", "ERR_NATS_ENDPOINT"],
  ] as const;
  for (const [endpoint, code] of cases) {
    test(endpoint, async () => {
      await assert.rejects(checkEndpoint(endpoint, {}), (error) => {
        assert.ok(error instanceof NodeError, String(error));
        assert.equal(error.code, code);
        assert.doesNotMatch(`${error.message} ${error.hint ?? ""}`, /hunter2/);
        return true;
      });
    });
  }

  const wellFormed = [
    ...["mysql://", "mysql://root:p@ss/w:rd@tcp(h)/k"],
    ...["postgres://", "postgresql://u@h1,h2:5433/k?target_session_attrs=read-write"],
    "nats://h:4222,h2:4222?bucket=b",
  ];
  for (const endpoint of wellFormed) {
    test(`${endpoint} is well`, async () => assert.notEqual((await checkEndpoint(endpoint, {})).kind, "sqlite"));
  }
});
