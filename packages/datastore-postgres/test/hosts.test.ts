import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import { openStore, type OpenStore } from "@k3s/datastore";
import { collectLog, contents, FaultProxy, isUnavailable, until, WatchRecorder, rangeOf, write } from "@k3s/testkit";
import { TestDatabase } from "./support/test-database.ts";

const database = TestDatabase.forFile();

interface TwoWays {
  readonly first: FaultProxy;
  readonly second: FaultProxy;
  readonly dsn: string;
}

/** An endpoint with two hosts, which are two ways to one server. */
async function twoWays(t: TestContext, parameters: string): Promise<TwoWays> {
  const way = async () => {
    const proxy = await FaultProxy.start({ target: { port: database.server.port } });
    t.after(() => proxy.stop());
    return proxy;
  };
  const [first, second] = [await way(), await way()];
  const hosts = `127.0.0.1:${first.port},127.0.0.1:${second.port}`;
  return { first, second, dsn: `postgres://postgres@${hosts}/${database.newName()}?connect_timeout=1${parameters}` };
}

async function openOn(t: TestContext, dsn: string): Promise<OpenStore> {
  const { log } = collectLog();
  const store = await openStore(await database.open(t, { dsn, log }), { log });
  t.after(() => store.close());
  return store;
}

/** Writes until one succeeds. */
async function untilWritable(store: OpenStore, key: string): Promise<void> {
  await until(`${key} is written`, async () => {
    try {
      return (await store.txn(write(key, 0, "1"))).succeeded;
    } catch (error) {
      assert.ok(isUnavailable(error), String(error));
      return false;
    }
  });
}

interface Ending {
  readonly name: string;
  readonly end: (way: FaultProxy) => Promise<void> | void;
}

const ends: readonly Ending[] = [
  { name: "refuses connections", end: (way) => way.refuse() },
  { name: "does not answer any more", end: (way) => way.stall() },
];

describe("several hosts of a PostgreSQL endpoint", () => {
  for (const { name, end } of ends)
    test(`goes on with the next when the connected one ${name}`, async (t) => {
      const { first, second, dsn } = await twoWays(t, "");
      const store = await openOn(t, dsn);
      const seen = new WatchRecorder(store, rangeOf("/", "0"));
      await untilWritable(store, "/a");
      assert.equal(second.connections, 0);
      await end(first);
      await untilWritable(store, "/b");
      assert.ok(second.connections > 0);
      assert.deepEqual(await contents(store), ["/a=1@2", "/b=1@3"]);
      await until("the watch tells both, once", () => Promise.resolve(seen.events.length === 2));
    });

  for (const parameters of ["", "&sslmode=disable&target_session_attrs=prefer-standby"])
    test(`opens by the next when the first does not answer (connect_timeout=1${parameters})`, async (t) => {
      const { first, second, dsn } = await twoWays(t, parameters);
      first.stall();
      const store = await openOn(t, dsn);
      await untilWritable(store, "/a");
      assert.ok(second.connections > 0);
    });
});
