import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import { openStore, type OpenStore } from "@k3s/datastore";
import { contents, FaultProxy, isUnavailable, until, write } from "@k3s/testkit";
import { openNatsDriver } from "../src/index.ts";
import { quietLog, startNats } from "./support/nats-fixture.ts";
import { Recorder } from "./support/recorder.ts";

interface TwoWays {
  readonly ways: readonly FaultProxy[];
  readonly endpoint: string;
}

/** An endpoint with two servers, which are two ways to one. */
async function twoWays(t: TestContext): Promise<TwoWays> {
  const server = await startNats(t);
  const way = async () => {
    const proxy = await FaultProxy.start({ target: { port: server.port } });
    t.after(() => proxy.stop());
    return proxy;
  };
  const ways = [await way(), await way()];
  return { ways, endpoint: `nats://${ways.map(({ port }) => `127.0.0.1:${port}`).join()}` };
}

async function openOn(t: TestContext, endpoint: string): Promise<OpenStore> {
  const log = quietLog();
  const store = await openStore(await openNatsDriver({ endpoint, log, signal: t.signal }), { log });
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

describe("several servers of a NATS endpoint", () => {
  for (const { name, end } of ends) {
    test(`goes on with the next when the connected one ${name}`, async (t) => {
      const { ways, endpoint } = await twoWays(t);
      const store = await openOn(t, endpoint);
      const seen = new Recorder(store);
      await untilWritable(store, "/a");
      const [used, other] = ways.toSorted((a, b) => b.connections - a.connections);
      assert.ok(used !== undefined && other !== undefined);
      assert.deepEqual([used.connections, other.connections], [1, 0]);
      await end(used);
      await untilWritable(store, "/b");
      assert.equal(other.connections, 1);
      assert.deepEqual(
        (await contents(store)).map((text) => text.replace(/@.*/, "")),
        ["/a=1", "/b=1"],
      );
      await until("the watch tells both, once", () => Promise.resolve(seen.events.length === 2));
    });

    test(`opens by the next when one ${name}`, async (t) => {
      const { ways, endpoint } = await twoWays(t);
      const [first, second] = ways;
      assert.ok(first !== undefined && second !== undefined);
      await end(first);
      await untilWritable(await openOn(t, endpoint), "/a");
      assert.equal(second.connections, 1);
    });
  }
});
