import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import { nextTurn } from "@k3s/async";
import type { Store } from "@k3s/datastore";
import { collectLog } from "./collect-log.ts";
import type { SqlTestDatabase } from "./sql-test-database.ts";
import { isUnavailable, query, rangeOf, write } from "./store-ops.ts";
import { until } from "./until.ts";
import { WatchRecorder } from "./watch-recorder.ts";

interface Outage {
  readonly name: string;
  readonly begin: () => Promise<void> | void;
  readonly end: () => Promise<void> | void;
}

/** Resolves with what ends all connections of others to the named database, again and again. */
type MakeCut = (t: TestContext, name: string) => Promise<() => Promise<void>>;

/** What clients are told while the database is away, and what is there when it is back, as tests. */
export function outageConformance(label: string, database: SqlTestDatabase, makeCut: MakeCut): void {
  const outages: readonly Outage[] = [
    { name: "stopped", begin: () => database.server.stop(), end: () => database.server.restart() },
    { name: "killed", begin: () => database.server.kill(), end: () => database.server.restart() },
    { name: "frozen", begin: () => database.server.freeze(), end: () => database.server.thaw() },
  ];

  describe(`hard case 34, O3: ${label} away`, () => {
    for (const { name, begin, end } of outages) {
      test(`${name} under load: unavailable while it lasts, no false conflict, no event lost or doubled`, async (t) => {
        const { log, lines } = collectLog();
        const store = await database.store(t, database.newName(), log);
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
      const cut = await makeCut(t, name);
      const writer = startWriter(store);
      for (let round = 1; round <= 20; round++) {
        const goal = writer.acknowledged.size + 5;
        await until("writes are served", () => Promise.resolve(writer.acknowledged.size >= goal));
        await cut();
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
}

/** Creates keys one after the other until it is stopped, and keeps what was answered. */
function startWriter(store: Store) {
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
        await nextTurn();
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

interface Expected {
  readonly seen: WatchRecorder;
  readonly acknowledged: ReadonlyMap<string, number>;
}

/** All answered writes are there with their revision; the watch saw each row of the table once, in order. */
async function assertComplete(store: Store, { seen, acknowledged }: Expected): Promise<void> {
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
