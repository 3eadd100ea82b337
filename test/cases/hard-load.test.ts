import assert from "node:assert/strict";
import { test } from "node:test";
import { repeat, sleep } from "@k3s/async";
import { endOf, inParallel, keysBelow, putAll } from "./support/bulk.ts";
import type { CaseClient } from "./support/case-client.ts";
import { onEachServer } from "./support/each-server.ts";
import { Latencies } from "./support/latencies.ts";
import { ListingClient } from "./support/listing-client.ts";
import { proportionalBytes } from "./support/memory.ts";
import { ResumingWatch } from "./support/resuming-watch.ts";
import { scaled } from "./support/scale.ts";

const MIB = 1 << 20;
const VALUE_BYTES = 100_000;
/** Every write makes one event for each stream, with the value before: so much per write waits for the slow ones. */
const SLOW_STREAMS = 30;
const LOOKS = 200;
const SLOW = scaled({
  short: { bytes: 600 * MIB, watchBacklogBytes: 16 * MIB, backlogBytes: 64 * MIB },
  full: { bytes: 4096 * MIB, watchBacklogBytes: 64 * MIB, backlogBytes: 512 * MIB },
});
/**
 * What a process of ours may grow by, beyond what it is allowed to keep for slow readers. Less than what would wait if
 * only each stream had a limit, and much less than everything.
 */
const GROWTH_BYTES = 160 * MIB;
const STREAMS = scaled({ short: { count: 1000, writes: 3000 }, full: { count: 1000, writes: 120_000 } });
const PREFIXES = 300;
/** The case's rate, which a busy machine may not reach. */
const WRITES_PER_MS = 2;
const CONNECTIONS = 10;
const CREATIONS_MIN = 5;
const BIG_LIST_OBJECTS = 100_000;
const OBJECT_BYTES = 1200;
const LISTERS = 4;
const HEALTH_INTERVAL_MS = 100;
const HEALTH_LIMIT_MS = 200;
const DELIVERY_LIMIT_MS = 5;
/** Times that a busy machine can miss are demanded only where the cases run alone. */
const isAlone = scaled({ short: false, full: true });

onEachServer((start) => {
  test("hard case 24, slow watchers: memory is bounded, others go on, the slow ones miss nothing", async (t) => {
    const { backlogBytes, watchBacklogBytes } = SLOW;
    const { client, connect, key, server } = await start(t, { backlogBytes, watchBacklogBytes });
    const writes = Math.ceil(SLOW.bytes / (SLOW_STREAMS * 2 * VALUE_BYTES));
    const range = { key: key(), end: endOf(key()), prevKv: true };
    const latencies = { before: new Latencies(), meanwhile: new Latencies() };
    for (let i = 0; i < LOOKS; i++) await latencies.before.measure(() => client.range({ key: key("0") }));
    const first = (await client.revision()) + 1;
    const slow = Array.from({ length: SLOW_STREAMS }, () => connect().watch());
    for (const one of slow) await one.create(range);
    for (const { stream } of slow) stream.pause();
    const quick = connect().watch();
    await quick.create({ ...range, prevKv: false });
    const before = await proportionalBytes(server.pid);
    let peak = 0;
    for (let i = 0; i < writes; i++) {
      await client.put({ key: key(String(i % 5)), value: "v".repeat(VALUE_BYTES) });
      await latencies.meanwhile.measure(() => client.range({ key: key("0"), keysOnly: true }));
      if (i % 10 === 0) peak = Math.max(peak, await proportionalBytes(server.pid));
    }
    const growth = Math.max(peak, await proportionalBytes(server.pid)) - before;
    t.diagnostic(`grew by ${Math.round(growth / MIB)} MiB; the others: ${latencies.meanwhile.summary()}`);
    // etcd is only looked at: it holds on to its own terms.
    if (server.kind !== "etcd") assert.ok(growth < backlogBytes + GROWTH_BYTES, `grew by ${growth} bytes`);
    if (isAlone && server.kind === "http2")
      assert.ok(latencies.meanwhile.medianMs < latencies.before.medianMs * 2 + 0.5, latencies.before.summary());
    const revisions = Array.from({ length: writes }, (_, i) => first + i);
    assert.deepEqual(await revisionsOf(quick, writes), revisions, "who reads is told everything");
    for (const { stream } of slow) stream.resume();
    const got = await Promise.all(slow.map((one) => revisionsOf(one, writes)));
    for (const seen of got) assert.deepEqual(seen, revisions.slice(0, seen.length), "whole, in order");
    const late = new ResumingWatch(t, `127.0.0.1:${server.port}`, {
      ...range,
      start: first + Math.min(...got.map((one) => one.length)),
    });
    await late.read(writes - (late.next - first));
    assert.deepEqual(
      late.events.map(({ kv }) => kv?.mod),
      revisions.slice(-late.events.length || writes),
    );
    assert.equal(late.resumes, 0, "history comes no faster than it is read");
    t.diagnostic(`${writes - late.events.length} of ${writes} revisions came before the cut`);
  });

  test("hard case 25, 1000 streams: every event arrives, and new watches are created meanwhile", async (t) => {
    const { client, connect, key, server } = await start(t, {});
    const clients = Array.from({ length: CONNECTIONS }, () => connect());
    const prefix = (i: number) => key(`${String(i % PREFIXES).padStart(3, "0")}/`);
    const latencies = new Latencies();
    const written = new Map<string, number>();
    let received = 0;
    const listen = async (i: number) => {
      const stream = (clients[i % CONNECTIONS] ?? client).watch();
      await stream.create({ key: prefix(i), end: endOf(prefix(i)) });
      return stream;
    };
    const streams = await Promise.all(Array.from({ length: STREAMS.count }, (_, i) => listen(i)));
    const expected = streams.map((_, i) => Math.ceil((STREAMS.writes - (i % PREFIXES)) / PREFIXES));
    const reading = streams.map(async (stream, i) => {
      for (let seen = 0, last = 0; seen < (expected[i] ?? 0);) {
        for (const { kv } of (await stream.take("events")).events) {
          assert.ok(kv !== undefined && kv.mod > last && kv.key.startsWith(prefix(i)));
          latencies.add(performance.now() - (written.get(kv.value) ?? 0));
          last = kv.mod;
          seen++;
          received++;
        }
      }
    });
    const creates = new Latencies();
    const stop = new AbortController();
    const createOne = async () => {
      const { stream } = await creates.measure(() => listen(0));
      stream.cancel();
    };
    const creating = repeat(5, createOne, stop.signal);
    const startedAt = performance.now();
    await inParallel(STREAMS.writes, 32, async (i) => {
      const dueInMs = startedAt + i / WRITES_PER_MS - performance.now();
      if (dueInMs >= 1) await sleep(dueInMs);
      written.set(String(i), performance.now());
      await client.put({ key: `${prefix(i)}a`, value: String(i) });
    });
    const writesPerSecond = Math.round((STREAMS.writes / (performance.now() - startedAt)) * 1000);
    const createdMeanwhile = creates.count;
    await Promise.all(reading);
    stop.abort();
    await creating;
    assert.equal(
      received,
      expected.reduce((sum, count) => sum + count, 0),
    );
    t.diagnostic(
      `${writesPerSecond} writes/s; delivery: ${latencies.summary()}; ${createdMeanwhile} creations: ${creates.summary()}`,
    );
    // One after the other: a creation that waited for the writes would be the only one.
    assert.ok(createdMeanwhile >= CREATIONS_MIN, `${createdMeanwhile} watches were created meanwhile`);
    if (isAlone && server.kind === "http2") assert.ok(latencies.medianMs < DELIVERY_LIMIT_MS, latencies.summary());
  });

  test("hard case 26, big list: 100,000 objects for four clients at once; health is answered, pings too, nothing is closed", async (t) => {
    const { client, connect, key, server } = await start(t, {});
    const keys = keysBelow(key(), BIG_LIST_OBJECTS);
    await putAll(client, keys, "v".repeat(OBJECT_BYTES));
    const other = connect();
    const health = new Latencies();
    const stop = new AbortController();
    const ask = async () => {
      await health.measure(() => other.range({ key: "/registry/health" }));
    };
    const asking = repeat(HEALTH_INTERVAL_MS, ask, stop.signal);
    const lists = new Latencies();
    const pings = new Latencies();
    const clients = await Promise.all(
      Array.from({ length: LISTERS }, () => ListingClient.connect(t, server.port, pings)),
    );
    const sizes = await Promise.all(clients.map((each) => lists.measure(() => each.list(key(), endOf(key())))));
    stop.abort();
    await asking;
    for (const { kvs, count, bytes } of sizes) {
      assert.deepEqual([kvs, count], [BIG_LIST_OBJECTS, BIG_LIST_OBJECTS]);
      assert.ok(bytes > BIG_LIST_OBJECTS * OBJECT_BYTES);
    }
    // The connections that the lists came on still work, and nobody was told to leave.
    for (const each of clients) {
      assert.equal((await each.list(keys[0] ?? "")).kvs, 1);
      assert.deepEqual(each.closings, []);
    }
    assert.ok(pings.count > LISTERS, `${pings.count} pings were answered`);
    t.diagnostic(`lists: ${lists.summary()}; health: ${health.summary()}; pings: ${pings.summary()}`);
    if (isAlone && server.kind === "http2") assert.ok(health.maxMs < HEALTH_LIMIT_MS, health.summary());
  });
});

/** The revisions that a watch was told, until it has everything or its stream is cut off. */
async function revisionsOf(stream: ReturnType<CaseClient["watch"]>, count: number): Promise<number[]> {
  const seen: number[] = [];
  try {
    while (seen.length < count) seen.push(...(await stream.take("events")).events.map(({ kv }) => kv?.mod ?? 0));
  } catch (error) {
    assert.equal((error as { readonly code?: unknown }).code, 14, String(error));
  }
  return seen;
}
