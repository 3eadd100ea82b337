import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import { openStore } from "@k3s/datastore";
import { collectLog, creations, FaultProxy, lateCommitConformance, lostCommitConformance, until } from "@k3s/testkit";
import { Client } from "pg";
import { LOCK } from "../src/commit-statement.ts";
import { findPlace } from "../src/connect-postgres.ts";
import { parsePostgresDsn } from "../src/parse-postgres-dsn.ts";
import { PostgresDialect } from "../src/postgres-dialect.ts";
import { holdCommits } from "./support/hold-commits.ts";
import { startPgBouncer } from "./support/pgbouncer.ts";
import { TestDatabase } from "./support/test-database.ts";

const database = TestDatabase.forFile();
const MODES = ["session", "transaction"] as const;
type PoolMode = (typeof MODES)[number];

/** A new database with kine's tables, and a pooler before it. */
async function startPooler(t: TestContext, poolMode: PoolMode) {
  const name = database.newName();
  const { folder, port: serverPort } = database.server;
  const beside = await database.open(t, { dsn: database.dsn(name) });
  return { name, beside, port: await startPgBouncer(t, { folder, poolMode, serverPort }) };
}

/** A store whose way to the pooler can be cut. */
async function openBehindProxy(t: TestContext, poolMode: PoolMode) {
  const { name, beside, port } = await startPooler(t, poolMode);
  const proxy = await FaultProxy.start({ target: { port } });
  t.after(() => proxy.stop());
  const { log } = collectLog();
  const driver = await database.open(t, { dsn: `postgres://postgres@127.0.0.1:${proxy.port}/${name}`, log });
  const store = await openStore(driver, { log, healthKey: true });
  t.after(() => store.close());
  return { name, store, proxy, beside, mark: (key: string) => key };
}

async function connectClient(t: TestContext, port: number, name: string): Promise<Client> {
  const client = new Client({ host: "127.0.0.1", port, user: "postgres", database: name });
  client.on("error", () => undefined); // the queries tell
  await client.connect();
  t.after(() => client.end().catch(() => undefined));
  return client;
}

async function pidOf(client: Client): Promise<unknown> {
  return (await client.query<unknown[]>({ text: "SELECT pg_backend_pid()", rowMode: "array" })).rows[0]?.[0];
}

for (const poolMode of MODES) {
  const label = `PostgreSQL behind PgBouncer, pool_mode=${poolMode},`;

  lostCommitConformance(label, (t) => openBehindProxy(t, poolMode));

  lateCommitConformance(label, async (t) => {
    const opened = await openBehindProxy(t, poolMode);
    return { ...opened, ...(await holdCommits(t, database, opened.name)) };
  });
}

describe("what is left of a commit that was lost behind a pooler", () => {
  /** Two sessions behind a pooler, of which one is lost, and another client that was given its connection with the server. */
  async function loseSession(t: TestContext, poolMode: PoolMode) {
    const { name, beside, port } = await startPooler(t, poolMode);
    const settings = parsePostgresDsn(`postgres://postgres@127.0.0.1:${port}/${name}`, { env: {} });
    const layout = { idMax: 2 ** 53, nameChars: Infinity, isAsciiOnly: false };
    const dialect = new PostgresDialect({ place: await findPlace(settings), layout, log: collectLog().log });
    const lost = await dialect.connect(AbortSignal.timeout(5000));
    const [[pid] = []] = await lost.query({ text: "SELECT pg_backend_pid()" });
    lost.destroy(new Error("Cut"));
    const client = await until("another client has its connection", async () => {
      const next = await connectClient(t, port, name);
      await next.query("BEGIN");
      return (await pidOf(next)) === pid ? next : undefined;
    });
    const session = await dialect.connect(AbortSignal.timeout(5000));
    t.after(() => session.end());
    return { name, beside, dialect, session, lost, client };
  }

  for (const poolMode of MODES)
    test(`pool_mode=${poolMode}: nobody is ended who was given its connection with the server`, async (t) => {
      const { dialect, session, lost, client } = await loseSession(t, poolMode);
      await dialect.forget(session, lost, creations(0, "/a"));
      await client.query("COMMIT");
    });

  test("cannot be written any more, and kine's next id is another one", async (t) => {
    const { name, beside, dialect, session, lost } = await loseSession(t, "transaction");
    await beside.commit(creations(0, "/before"));
    const batch = creations(1, "/lost");
    await dialect.forget(session, lost, batch);
    await dialect.forget(session, lost, batch);
    assert.equal(await dialect.commit(session, batch), false);
    const insert = "INSERT INTO kine (name, created, deleted, create_revision, prev_revision, lease) VALUES";
    const rows = await database.sql(
      t,
      name,
      `${insert} ('/kine', 1, 0, 0, 0, 0)`,
      "SELECT id::int, name FROM kine ORDER BY id",
    );
    assert.deepEqual(rows, [
      [1, "/before"],
      [2, "gap-2"],
      [3, "/kine"],
    ]);
  });

  test("is waited for where it ends leases alone", async (t) => {
    const { name, dialect, session, lost } = await loseSession(t, "transaction");
    const holder = await database.connect(t, name);
    await holder.query(`BEGIN; SELECT ${LOCK}`);
    let isOver = false;
    const batch = { ...creations(0), endedLeases: [1n] };
    const forgotten = dialect.forget(session, lost, batch).then(() => (isOver = true));
    await until("it waits", async () => {
      const { rows } = await holder.query("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted");
      return rows.length > 0;
    });
    assert.equal(isOver, false);
    await holder.query("COMMIT");
    await forgotten;
  });

  test("keeps nobody from reading where the database takes no writes now", async (t) => {
    const { dialect, session, lost } = await loseSession(t, "session");
    await session.run("SET default_transaction_read_only = on");
    await dialect.forget(session, lost, creations(0, "/a"));
  });
});
