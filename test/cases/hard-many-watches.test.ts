import assert from "node:assert/strict";
import { test } from "node:test";
import { repeat } from "@k3s/async";
import { until, watchRequest } from "@k3s/testkit";
import { endOf } from "./support/bulk.ts";
import { onEachServer } from "./support/each-server.ts";
import { Latencies } from "./support/latencies.ts";
import { proportionalBytes } from "./support/memory.ts";
import { kindOf, type WatchPeer } from "./support/watch-peer.ts";

const CONNECTIONS = 10;
const STREAMS = 100;
const WATCHES_OF_STREAM = 100;
const WATCHES = STREAMS * WATCHES_OF_STREAM;
/** What a watch may cost a server of ours, with its share of what the process has taken for itself. */
const BYTES_OF_WATCH = 16 << 10;
const PREFIXES = 100;

/** Asks for all watches of one stream and takes their answers. Ids are those of the stream, from 1. */
async function createAll(stream: WatchPeer, prefixOf: (watchId: number) => string): Promise<void> {
  for (let watchId = 1; watchId <= WATCHES_OF_STREAM; watchId++) {
    const key = prefixOf(watchId);
    stream.stream.send(watchRequest.create({ key, end: endOf(key), watchId }));
  }
  for (let watchId = 1; watchId <= WATCHES_OF_STREAM; watchId++)
    assert.equal((await stream.take("created")).watchId, watchId);
}

/** Takes one event for each watch, whatever the order of the watches is. */
async function takeOneEach(stream: WatchPeer, revisionOf: (watchId: number) => number | undefined): Promise<void> {
  const told = new Set<number>();
  while (told.size < WATCHES_OF_STREAM) {
    const { watchId, events } = await stream.take("events");
    assert.deepEqual(
      events.map(({ kv }) => kv?.mod),
      [revisionOf(watchId)],
    );
    assert.ok(!told.has(watchId), "told once");
    told.add(watchId);
  }
}

async function cancelAll(stream: WatchPeer): Promise<void> {
  for (let watchId = 1; watchId <= WATCHES_OF_STREAM; watchId++) stream.cancel(watchId);
  const canceled = new Set<number>();
  while (canceled.size < WATCHES_OF_STREAM) canceled.add((await stream.take("canceled")).watchId);
}

onEachServer((start) => {
  test("bad input: 10,000 watches cost bounded memory, harm nobody, are all served and can all be canceled", async (t) => {
    const { client, connect, key, server } = await start(t, {});
    const prefix = (i: number) => key(`${String(i % PREFIXES).padStart(3, "0")}/`);
    const prefixOf = (watchId: number) => prefix(watchId);
    const before = await proportionalBytes(server.pid);
    const clients = Array.from({ length: CONNECTIONS }, () => connect());
    const streams = Array.from({ length: STREAMS }, (_, i) => (clients[i % CONNECTIONS] ?? client).watch());

    const others = new Latencies();
    const stop = new AbortController();
    const other = connect();
    const work = async () => {
      const name = key(`other${others.count}`);
      const { header } = await others.measure(() => other.put({ key: name, value: "v" }));
      assert.equal((await other.range({ key: name })).kvs[0]?.mod, header.revision);
    };
    const working = repeat(5, work, stop.signal);

    await Promise.all(streams.map((stream) => createAll(stream, prefixOf)));
    const cost = ((await proportionalBytes(server.pid)) - before) / WATCHES;
    t.diagnostic(`${Math.round(cost)} bytes for each watch`);
    // etcd is only looked at: it holds on to its own terms.
    if (server.kind !== "etcd") assert.ok(cost < BYTES_OF_WATCH, `${cost} bytes for each watch`);

    const revisions: number[] = [];
    for (let i = 0; i < PREFIXES; i++) revisions.push((await client.put({ key: `${prefix(i)}a` })).header.revision);
    await Promise.all(streams.map((stream) => takeOneEach(stream, (watchId) => revisions[watchId % PREFIXES])));

    await Promise.all(streams.map(cancelAll));
    for (let i = 0; i < PREFIXES; i++) await client.put({ key: `${prefix(i)}b` });
    const last = await client.revision();
    for (const stream of streams) {
      await stream.create({ key: key("last"), start: last + 1 }); // the next message: nothing came of those before
      assert.equal(kindOf(await first(stream, () => client.put({ key: key("last") }))), "events");
    }

    const done = others.count;
    await until("the other client goes on", () => Promise.resolve(others.count > done));
    stop.abort();
    await working;
    const growth = (await proportionalBytes(server.pid)) - before;
    if (server.kind !== "etcd") assert.ok(growth < BYTES_OF_WATCH * WATCHES, `grew by ${growth} bytes`);
    t.diagnostic(`the other client: ${others.summary()}`);
  });
});

/** The first message after `act`. */
async function first(stream: WatchPeer, act: () => Promise<unknown>) {
  await act();
  return await stream.next();
}
