import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { DriverError, type Driver } from "@k3s/datastore";
import { collectLog, creations, PostgresServer, until } from "@k3s/testkit";
import { Client } from "pg";
import { openPostgresDriver, openPostgresReader } from "../src/index.ts";

const NAME = "test";
/** All connections that read are made anew for each use. */
const POOL = { idleMs: 1 };
const ATTRIBUTES = ["any", "prefer-standby", "standby", "read-only"];

/** A primary and a standby that follows it. */
async function startPair(t: TestContext): Promise<readonly [PostgresServer, PostgresServer]> {
  const undo = new AsyncDisposableStack();
  t.after(() => undo.disposeAsync());
  const newFolder = async () => {
    const folder = await mkdtemp(join(tmpdir(), "k3s-postgres-"));
    undo.defer(() => rm(folder, { recursive: true, force: true }));
    return folder;
  };
  const primary = undo.use(await PostgresServer.start({ folder: await newFolder() }));
  return [primary, undo.use(await PostgresServer.startStandby(primary, await newFolder()))];
}

function dsn(servers: readonly PostgresServer[], attributes = ""): string {
  const hosts = servers.map(({ port }) => `127.0.0.1:${port}`).join();
  return `postgres://postgres@${hosts}/${NAME}?sslmode=disable${attributes}`;
}

function options() {
  const { log, lines } = collectLog();
  return { env: {}, log, lines, signal: AbortSignal.timeout(20_000) };
}

async function open(t: TestContext, endpoint: string): Promise<{ readonly driver: Driver; readonly lines: string[] }> {
  const { lines, ...rest } = options();
  const driver = await openPostgresDriver({ dsn: endpoint, pool: POOL, ...rest });
  t.after(() => driver.close());
  return { driver, lines };
}

/** Runs one statement; answers with its first column. */
async function ask({ port }: PostgresServer, database: string, text: string): Promise<unknown[]> {
  const client = new Client({ host: "127.0.0.1", port, user: "postgres", database });
  await client.connect();
  try {
    return (await client.query<unknown[]>({ text, rowMode: "array" })).rows.map(([value]) => value);
  } finally {
    await client.end();
  }
}

/** What is written on the primary is there, but not yet to be seen. */
async function pauseReplay(standby: PostgresServer): Promise<void> {
  await ask(standby, "postgres", "SELECT pg_wal_replay_pause()");
  await until("the standby stands still", async () => {
    const [state] = await ask(standby, "postgres", "SELECT pg_get_wal_replay_pause_state()");
    return state === "paused";
  });
}

/** The last rows that connections of different lanes see. */
async function lastRows({ shared }: Driver): Promise<readonly (number | undefined)[]> {
  const positions = await Promise.all([1, 2, 3].map(async () => shared?.position()));
  return positions.map((position) => position?.lastRow);
}

const isUnavailable = (error: unknown) => error instanceof DriverError && error.kind === "failed";

async function untilCommitted(driver: Driver, after: number, key: string): Promise<void> {
  await until(`${key} is written`, async () => {
    try {
      await driver.commit(creations(after, key));
      return true;
    } catch (error) {
      assert.ok(isUnavailable(error), String(error));
      return false;
    }
  });
}

describe("a PostgreSQL with a standby", () => {
  test("a primary that comes back as a standby is not read from: what was acknowledged is there", async (t) => {
    const [first, second] = await startPair(t);
    const { driver } = await open(t, dsn([first, second]));
    await driver.commit(creations(0, "/a"));
    await first.stop();
    await ask(second, "postgres", "SELECT pg_promote()");
    await untilCommitted(driver, 1, "/b");
    await first.follow(second);
    await first.restart();
    await pauseReplay(first);
    await driver.commit(creations(2, "/c"));
    assert.deepEqual(await lastRows(driver), [3, 3, 3]);
    const values = await driver.values([1, 2, 3]);
    assert.ok(values.every((value) => value !== undefined));
  });

  test("a driver uses the primary, also where the standby comes first; what only reads takes the standby", async (t) => {
    const [primary, standby] = await startPair(t);
    await pauseReplay(standby); // it does not even have the database
    for (const [i, attributes] of ATTRIBUTES.entries()) {
      const { driver } = await open(t, dsn([standby, primary], `&target_session_attrs=${attributes}`));
      await driver.commit(creations(i, `/${attributes}`));
    }
    await ask(standby, "postgres", "SELECT pg_wal_replay_resume()");
    const [end] = await ask(primary, "postgres", "SELECT pg_current_wal_lsn()::text");
    await until("the standby has all of it", async () => {
      const [isThere] = await ask(standby, "postgres", `SELECT pg_last_wal_replay_lsn() >= '${String(end)}'`);
      return isThere === true;
    });
    for (const attributes of ATTRIBUTES) {
      const reader = await openPostgresReader({
        dsn: dsn([standby, primary], `&target_session_attrs=${attributes}`),
        ...options(),
      });
      const seen = await ask(standby, NAME, "SELECT 1 FROM pg_stat_activity WHERE application_name = 'k3s'");
      const rows = await reader.heads(0, 10);
      await reader.close();
      assert.deepEqual([seen.length, rows.length], [1, ATTRIBUTES.length], attributes);
    }
  });

  test("the one host of an endpoint that turns into a standby is not read from, and the log says that it is read-only", async (t) => {
    const [first, second] = await startPair(t);
    const { driver, lines } = await open(t, dsn([first]));
    await driver.commit(creations(0, "/a"));
    await first.stop();
    await ask(second, "postgres", "SELECT pg_promote()");
    await first.follow(second);
    await first.restart();
    await until("it is called read-only", async () => {
      await assert.rejects(lastRows(driver), isUnavailable);
      return lines.some((line) => line.includes("it is read-only"));
    });
    const opening = openPostgresDriver({ dsn: dsn([first]), ...options() });
    await assert.rejects(opening, { code: "ERR_POSTGRES_READ_ONLY" });
    await second.stop();
    await ask(first, "postgres", "SELECT pg_promote()");
    await untilCommitted(driver, 1, "/b");
    assert.deepEqual(await lastRows(driver), [2, 2, 2]);
  });
});
