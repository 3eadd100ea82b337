import assert from "node:assert/strict";
import { test } from "node:test";
import { repeat } from "@k3s/async";
import { until, watchRequest } from "@k3s/testkit";
import { onEachServer } from "./support/each-server.ts";
import { Latencies } from "./support/latencies.ts";
import { scaled } from "./support/scale.ts";
import { kindOf } from "./support/watch-peer.ts";

/** Long enough for a busy machine to show when it is not kept. */
const INTERVAL_MS = 300;
const REQUESTS = 200;
const ANSWER_LIMIT_MS = 5;
/** A time that a busy machine can miss is demanded only where the cases run alone. */
const isAlone = scaled({ short: false, full: true });

onEachServer((start) => {
  test("P31 periodic progress: to quiet watches that asked for it, with their own id", async (t) => {
    const { client, key } = await start(t);
    const watch = client.watch();
    await watch.create({ key: key("silent") });
    const { watchId } = await watch.create({ key: key("quiet"), progress: true });
    const before = await client.put({ key: key("elsewhere") });
    const first = await watch.take("progress");
    assert.deepEqual([first.watchId, first.canceled, first.compactRevision], [watchId, false, 0]);
    const { header } = await client.put({ key: key("elsewhere") });
    assert.ok(header.revision > before.header.revision);
    let newest = first.header?.revision ?? 0;
    while (newest < header.revision) {
      const next = await watch.take("progress");
      assert.equal(next.watchId, watchId);
      assert.ok((next.header?.revision ?? 0) >= newest);
      newest = next.header?.revision ?? 0;
    }
  });

  test("P31 periodic progress: as often as configured, no earlier, and not before it was asked for", async (t) => {
    const { connect, key } = await start(t, { progressIntervalMs: INTERVAL_MS });
    const openedAt = performance.now();
    const watch = connect().watch();
    await watch.create({ key: key("silent") });
    const { watchId } = await watch.create({ key: key("quiet"), progress: true });
    for (let ticks = 1; ticks <= 3; ticks++) {
      assert.equal((await watch.take("progress")).watchId, watchId);
      const tookMs = performance.now() - openedAt;
      assert.ok(tookMs > ticks * INTERVAL_MS * 0.9, `progress ${ticks} came after ${tookMs} ms`);
    }
    const rare = await start(t, { progressIntervalMs: 3_600_000 });
    const other = rare.connect().watch();
    await other.create({ key: rare.key("quiet"), progress: true });
    // Longer than the other interval, by the clock of the server that has it.
    for (let ticks = 0; ticks < 2; ticks++) await watch.take("progress");
    await rare.client.put({ key: rare.key("quiet") });
    assert.equal(kindOf(await other.next()), "events", "nothing came before");
  });

  test("P32 RequestProgress: one answer for the stream with id -1 at the current revision", async (t) => {
    const { client, key } = await start(t);
    const watch = client.watch();
    await watch.create({ key: key("a") });
    await watch.create({ key: key("b") });
    for (let round = 0; round < 5; round++) {
      const { header } = await client.put({ key: key("elsewhere") });
      // A server that cannot promise everything up to now yet says nothing; clients ask again.
      const answer = await until("the stream has its progress", async () => {
        watch.requestProgress();
        const message = await watch.take("progress");
        return (message.header?.revision ?? 0) >= header.revision ? message : undefined;
      });
      assert.deepEqual([answer.watchId, answer.events], [-1, []]);
    }
  });

  test("P32 RequestProgress: is answered at once", async (t) => {
    const { client, key, server } = await start(t);
    const watch = client.watch();
    for (const name of ["a", "b", "c"]) await watch.create({ key: key(name) });
    const latencies = new Latencies();
    for (let i = 0; i < REQUESTS; i++) {
      const { watchId } = await latencies.measure(() => {
        watch.requestProgress();
        return watch.take("progress");
      });
      assert.equal(watchId, -1);
    }
    t.diagnostic(`answers to requests: ${latencies.summary()}`);
    if (isAlone && server.kind === "http2") assert.ok(latencies.medianMs < ANSWER_LIMIT_MS, latencies.summary());
  });

  test("P35 slow watcher: waits or loses its stream with Unavailable, and no event after it resumes", async (t) => {
    const { client, connect, key } = await start(t, { watchBacklogBytes: 4 << 20 });
    const slow = connect().watch();
    await slow.create({ key: key("a") });
    slow.stream.pause();
    const from = (await client.revision()) + 1;
    const value = "v".repeat(1_000_000);
    const count = 30; // more than what may wait, windows and sockets included
    for (let i = 0; i < count; i++) await client.put({ key: key("a"), value: `${i}/${value}` });
    slow.stream.resume();
    const seen: number[] = [];
    const take = async (watch: typeof slow) => {
      while (seen.length < count) for (const { kv } of await watch.events(1)) seen.push(kv?.mod ?? 0);
    };
    await take(slow).catch(async (error: unknown) => {
      assert.equal((error as { readonly code?: unknown }).code, 14);
      const resumed = connect().watch();
      await resumed.create({ key: key("a"), start: (seen.at(-1) ?? from - 1) + 1 });
      await take(resumed);
    });
    assert.deepEqual(
      seen,
      Array.from({ length: count }, (_, i) => from + i),
    );
  });
});

onEachServer(
  (start) => {
    test("P31 periodic progress: only when idle, so not between events", async (t) => {
      const { client, key } = await start(t);
      const watch = client.watch();
      // One after the other is told at each tick, in this order; the second tells us when the ticks were.
      const [busy, quiet] = [1, 2];
      watch.stream.send(watchRequest.create({ key: key("busy"), progress: true, watchId: busy }));
      watch.stream.send(watchRequest.create({ key: key("quiet"), progress: true, watchId: quiet }));
      for (let created = 0; created < 2;) if ((await watch.next()).created) created++; // a tick may come between
      const stop = new AbortController();
      const write = async () => {
        await client.put({ key: key("busy") });
      };
      const writing = repeat(1, write, stop.signal);
      let events = 0; // since the last tick
      for (let busyTicks = 0; busyTicks < 5;) {
        const message = await watch.next();
        events += message.events.length;
        if (kindOf(message) !== "progress") continue;
        if (message.watchId === busy) assert.equal(events, 0, "progress although there were events");
        if (message.watchId !== quiet) continue;
        if (events > 0) busyTicks++;
        events = 0;
      }
      stop.abort();
      await writing;
      let message = await watch.next();
      while (kindOf(message) !== "progress" || message.watchId !== busy) message = await watch.next();
    });
  },
  ["http2", "grpc-js"], // etcd may have events on the way when it decides
);

onEachServer((start) => {
  test("P32 RequestProgress: withheld while a watch of the stream replays history", async (t) => {
    const { client, key } = await start(t);
    const from = (await client.revision()) + 1;
    const value = "v".repeat(20_000);
    const count = 500;
    for (let i = 0; i < count; i += 50)
      await Promise.all(Array.from({ length: 50 }, (_, n) => client.put({ key: key(`${(i + n) % 10}`), value })));
    const watch = client.watch();
    await watch.create({ key: key("a") });
    watch.stream.pause();
    const replay = watch.create({ key: key(), end: key("\xff"), start: from });
    for (let i = 0; i < 20; i++) watch.requestProgress();
    watch.stream.resume();
    await replay;
    let seen = 0;
    while (seen < count) {
      const message = await watch.next();
      assert.equal(kindOf(message), "events", `progress ${message.header?.revision} after ${seen} of ${count} events`);
      seen += message.events.length;
    }
    const [header] = await until("progress is given", async () => {
      watch.requestProgress();
      return [(await watch.take("progress")).header];
    });
    assert.ok((header?.revision ?? 0) >= from + count - 1);
  });

  test("P33 progress: never ahead of the events", async (t) => {
    const { client, key } = await start(t);
    const watch = client.watch();
    await watch.create({ key: key(), end: key("\xff"), progress: true });
    const rounds = 60;
    const writers = Promise.all(
      Array.from({ length: 4 }, async (_, writer) => {
        for (let i = 0; i < rounds; i++) await client.put({ key: key(`${writer}`), value: `${i}` });
      }),
    );
    let promised = 0;
    let answers = 0;
    let seen = 0;
    while (seen < 4 * rounds) {
      watch.requestProgress();
      const message = await watch.next();
      if (kindOf(message) === "progress") {
        promised = Math.max(promised, message.header?.revision ?? 0);
        answers++;
      }
      for (const { kv } of message.events)
        assert.ok((kv?.mod ?? 0) > promised, `event ${kv?.mod} came after progress ${promised}`);
      seen += message.events.length;
    }
    await writers;
    assert.ok(answers > 0);
  });
});
