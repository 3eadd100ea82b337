import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import type { OpenStore } from "@k3s/datastore";
import { collectLog, until, WatchRecorder, contents, isUnavailable, query, rangeOf, write } from "@k3s/testkit";
import { openPostgresDriver } from "../src/index.ts";
import { TestDatabase } from "./support/test-database.ts";

const database = TestDatabase.forFile();

/** Creates keys one after the other until it is stopped, and keeps what was answered. */
function startWriter(store: OpenStore) {
  const acknowledged = new Map<string, number>();
  let failures = 0;
  let isStopped = false;
  const run = async () => {
    for (let i = 0; !isStopped; i++) {
      const key = `/load/${i}`;
      try {
        const { succeeded, revision } = await store.txn(write(key, 0, key));
        assert.equal(succeeded, true, `false conflict of ${key}`);
        acknowledged.set(key, revision);
      } catch (error) {
        if (!isUnavailable(error)) throw error;
        failures++;
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
  };
  const done = run();
  return {
    acknowledged,
    failed: () => failures,
    stop: async () => {
      isStopped = true;
      await done;
    },
  };
}

interface Outage {
  readonly name: string;
  readonly begin: () => Promise<void> | void;
  readonly end: () => Promise<void> | void;
}

const OUTAGES: readonly Outage[] = [
  { name: "stopped", begin: () => database.server.stop(), end: () => database.server.restart() },
  { name: "killed", begin: () => database.server.kill(), end: () => database.server.restart() },
  { name: "frozen", begin: () => database.server.freeze(), end: () => database.server.thaw() },
];

async function openStoreWith(t: TestContext) {
  const { log, lines } = collectLog();
  return { store: await database.store(t, database.newName(), log), lines };
}

describe("hard case 34, O3: PostgreSQL away", () => {
  for (const { name, begin, end } of OUTAGES) {
    test(`${name} under load: unavailable while it lasts, no false conflict, no event lost or doubled`, async (t) => {
      const { store, lines } = await openStoreWith(t);
      const seen = new WatchRecorder(store, rangeOf("/load/", "/load0"));
      const writer = startWriter(store);
      await until("writes are served", () => Promise.resolve(writer.acknowledged.size > 20));
      await begin();
      await until("writes are refused", () => Promise.resolve(writer.failed() > 0));
      const { kvs } = await store.range({ ...query(rangeOf("/load/0")), serializable: true });
      assert.equal(kvs[0]?.value.toString(), "/load/0");
      const before = writer.acknowledged.size;
      await end();
      await until("writes are served again", () => Promise.resolve(writer.acknowledged.size > before + 20));
      await writer.stop();
      await assertComplete(store, { seen, acknowledged: writer.acknowledged });
      assert.match(lines.join(""), /the database cannot be used/);
    });
  }

  test("a connection cut in the middle of commits: what was answered is there, once", async (t) => {
    const name = database.newName();
    const store = await database.store(t, name);
    const seen = new WatchRecorder(store, rangeOf("/load/", "/load0"));
    const admin = await database.connect(t);
    const writer = startWriter(store);
    for (let round = 1; round <= 20; round++) {
      const goal = writer.acknowledged.size + 5;
      await until("writes are served", () => Promise.resolve(writer.acknowledged.size >= goal));
      await admin.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", [name]);
    }
    const goal = writer.acknowledged.size + 5;
    await until("writes are served", () => Promise.resolve(writer.acknowledged.size >= goal));
    await writer.stop();
    await assertComplete(store, { seen, acknowledged: writer.acknowledged });
  });

  test("opening waits for a server that is not there yet", async (t) => {
    await database.server.stop();
    const { log, lines } = collectLog();
    const opened = database.store(t, database.newName(), log);
    await until("it waits", () => Promise.resolve(lines.join("").includes("waiting for the database")));
    await database.server.restart();
    const store = await opened;
    assert.equal((await store.txn(write("/a", 0, "1"))).succeeded, true);
  });
});

describe("PostgreSQL read-only", () => {
  test("refuses writes as unavailable, names cause and cure in the log, and reads go on", async (t) => {
    const name = database.newName();
    const { log, lines } = collectLog();
    const store = await database.store(t, name, log);
    const admin = await database.connect(t);
    await store.txn(write("/a", 0, "1"));
    const cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1";
    await admin.query(`ALTER DATABASE ${name} SET default_transaction_read_only = on`);
    await admin.query(cut, [name]);
    await until("writes are refused for that", async () => {
      await assert.rejects(store.txn(write("/a", 3, "2")), isUnavailable);
      return lines.some((line) => line.includes("it is read-only"));
    });
    const before = lines.length;
    for (let i = 0; i < 50; i++) await assert.rejects(store.txn(write("/a", 3, "2")), isUnavailable);
    assert.ok(lines.length - before <= 3, lines.slice(before).join(""));
    await until("reads go on", async () => (await contents(store))[0] === "/a=1@3");
    const said = lines.find((line) => line.includes("it is read-only")) ?? "";
    assert.match(said, /end the read-only mode of the database/);
    const opening = openPostgresDriver({ dsn: database.dsn(name), env: {}, log, signal: AbortSignal.timeout(20_000) });
    await assert.rejects(opening, { code: "ERR_POSTGRES_READ_ONLY" });
    await admin.query(`ALTER DATABASE ${name} RESET default_transaction_read_only`);
    await admin.query(cut, [name]);
    await until("writes are served again", async () => (await store.txn(write("/a", 3, "2"))).succeeded);
  });
});

interface Expected {
  readonly seen: WatchRecorder;
  readonly acknowledged: ReadonlyMap<string, number>;
}

/** All answered writes are there with their revision; the watch saw each row of the table once, in order. */
async function assertComplete(store: OpenStore, { seen, acknowledged }: Expected): Promise<void> {
  const { kvs } = await store.range(query(rangeOf("/load/", "/load0")));
  const stored = new Map(kvs.map(({ key, modRevision }) => [key.toString(), Number(modRevision)]));
  for (const [key, revision] of acknowledged) assert.equal(stored.get(key), revision, key);
  await seen.count(kvs.length);
  const told = seen.events.map(({ kv }) => Number(kv.modRevision));
  assert.deepEqual(
    told,
    [...stored.values()].sort((a, b) => a - b),
  );
}
