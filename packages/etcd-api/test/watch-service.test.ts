import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import type { EtcdApiServerOptions } from "../src/etcd-api-server.ts";
import { onEachTransport, type TestApi } from "./support/api.ts";
import type { RawStream } from "@k3s/testkit";
import {
  deleteRequest,
  int64Message,
  txnOp,
  putRequest,
  readAnswer,
  readWatch,
  txnRequest,
  watchRequest,
  type WatchAnswer,
  type WatchArgs,
} from "@k3s/testkit";

const UNAVAILABLE = 14;
const INTERNAL = 13;

class Watches {
  readonly stream: RawStream;
  readonly #api: TestApi;

  constructor(t: TestContext, api: TestApi) {
    this.#api = api;
    this.stream = api.client.stream(t, "/etcdserverpb.Watch/Watch");
  }

  /** The next answer of the stream. */
  async take(): Promise<WatchAnswer> {
    return readWatch(await this.stream.take());
  }

  async create(args: WatchArgs): Promise<WatchAnswer> {
    this.stream.send(watchRequest.create(args));
    return this.take();
  }

  async put(key: string, value = ""): Promise<number> {
    const answer = await this.#api.client.call("/etcdserverpb.KV/Put", putRequest({ key, value }));
    return readAnswer.put(answer).header?.revision ?? 0;
  }

  async delete(key: string): Promise<void> {
    await this.#api.client.call("/etcdserverpb.KV/DeleteRange", deleteRequest({ key }));
  }

  async compact(revision: number): Promise<void> {
    await this.#api.client.call("/etcdserverpb.KV/Compact", int64Message({ 1: revision }));
  }
}

function summary({ events }: WatchAnswer): string[] {
  return events.map(({ type, kv }) => `${type} ${kv?.key}=${kv?.value}@${kv?.mod}`);
}

onEachTransport((startApi) => {
  async function startWatches(t: TestContext, options: Partial<EtcdApiServerOptions> = {}): Promise<Watches> {
    return new Watches(t, await startApi(t, { progressIntervalMs: 3_600_000, ...options }));
  }

  describe("Watch: events", () => {
    test("come after `created` with the current revision, for what happens from then on", async (t) => {
      const watches = await startWatches(t);
      await watches.put("/a/1", "before");
      const created = await watches.create({ key: "/a/", end: "/a0" });
      assert.deepEqual([created.created, created.watchId, created.header?.revision], [true, 0, 2]);
      await watches.put("/b/1", "elsewhere");
      await watches.put("/a/1", "after");
      const told = await watches.take();
      assert.deepEqual([summary(told), told.header?.revision, told.watchId], [["put /a/1=after@4"], 4, 0]);
    });

    test("are replayed from the start revision, in order, with previous values when asked", async (t) => {
      const watches = await startWatches(t);
      for (const value of ["1", "2"]) await watches.put("/a", value);
      await watches.delete("/a");
      await watches.put("/a", "3");
      assert.equal((await watches.create({ key: "/a", start: 3, prevKv: true })).header?.revision, 5);
      const events = [];
      while (events.length < 3) events.push(...(await watches.take()).events);
      assert.deepEqual(
        events.map(({ type, kv, prevKv }) => [type, kv?.mod, kv?.value, prevKv?.value]),
        [
          ["put", 3, "2", "1"],
          ["delete", 4, "", "2"],
          ["put", 5, "3", undefined],
        ],
      );
      assert.deepEqual([events[2]?.kv?.create, events[2]?.kv?.version], [5, 1]);
      assert.deepEqual(events[1]?.kv, { key: "/a", create: 0, mod: 4, version: 0, value: "", lease: 0n });
    });

    test("carry no previous value unless asked", async (t) => {
      const watches = await startWatches(t);
      await watches.put("/a", "1");
      await watches.create({ key: "/a" });
      await watches.put("/a", "2");
      assert.equal((await watches.take()).events[0]?.prevKv, undefined);
    });

    test("of one transaction come in one message", async (t) => {
      const api = await startApi(t);
      const watches = new Watches(t, api);
      await watches.create({ key: "/", end: "0" });
      const success = ["/1", "/2", "/3"].map((key) => txnOp.put({ key, value: "x" }));
      await api.client.call("/etcdserverpb.KV/Txn", txnRequest({ success }));
      const told = await watches.take();
      assert.equal(told.events.length, 3);
      assert.equal(new Set(told.events.map(({ kv }) => kv?.mod)).size, 1);
    });

    test("pass the filters of the watch", async (t) => {
      const watches = await startWatches(t);
      await watches.create({ key: "/a", filters: [0] });
      await watches.create({ key: "/a", filters: [1] });
      await watches.put("/a", "1");
      await watches.delete("/a");
      const [first, second] = [await watches.take(), await watches.take()];
      assert.deepEqual([first.watchId, summary(first)], [1, ["put /a=1@2"]]);
      assert.deepEqual([second.watchId, summary(second)], [0, ["delete /a=@3"]]);
    });

    test("larger than the limit are split for a watch that takes fragments, and only for it", async (t) => {
      const api = await startApi(t);
      const watches = new Watches(t, api);
      const puts = (value: string) => ["/1", "/2", "/3"].map((key) => txnOp.put({ key, value: value.repeat(450_000) }));
      const write = (value: string) => api.client.call("/etcdserverpb.KV/Txn", txnRequest({ success: puts(value) }));
      await write("a");
      await watches.create({ key: "/", end: "0", prevKv: true });
      await watches.create({ key: "/", end: "0", prevKv: true, fragment: true, watchId: 9 });
      await write("b"); // with the values before: 2.7 MB of events
      const told = [await watches.take(), await watches.take(), await watches.take()];
      const parts = told.map(({ watchId, fragment, events }) => [watchId, fragment, events.length]);
      assert.deepEqual(
        parts.filter(([id]) => id === 9),
        [
          [9, true, 2],
          [9, false, 1],
        ],
      );
      assert.deepEqual(
        parts.filter(([id]) => id === 0),
        [[0, false, 3]],
      );
      assert.equal(new Set(told.map(({ header }) => header?.revision)).size, 1);
    });
  });

  describe("Watch: ids and ends", () => {
    test("ids are counted per stream, or chosen by the client; a second use is refused", async (t) => {
      const watches = await startWatches(t);
      assert.equal((await watches.create({ key: "/a", watchId: 1 })).watchId, 1);
      assert.equal((await watches.create({ key: "/a" })).watchId, 0);
      assert.equal((await watches.create({ key: "/a" })).watchId, 2);
      const twice = await watches.create({ key: "/a", watchId: 2 });
      assert.deepEqual([twice.created, twice.canceled, twice.watchId], [true, true, -1]);
      assert.match(twice.reason, /duplicate watch ID/);
    });

    for (const [what, args, reason] of [
      ["an empty range", { key: "/b", end: "/a" }, /range is empty/],
      ["a negative start", { key: "/a", start: -1 }, /has been compacted/],
    ] as const) {
      test(`${what} is refused with an id of -1`, async (t) => {
        const watches = await startWatches(t);
        const answer = await watches.create(args);
        assert.deepEqual(
          [answer.created, answer.canceled, answer.watchId, answer.header?.revision],
          [true, true, -1, 1],
        );
        assert.match(answer.reason, reason);
      });
    }

    test("an empty key means the first one, a zero byte as end all keys from there", async (t) => {
      const watches = await startWatches(t);
      await watches.create({ key: "", end: "\0" });
      await watches.put("/any", "1");
      assert.deepEqual(summary(await watches.take()), ["put /any=1@2"]);
    });

    test("below the compaction a watch is created, then canceled with the compacted revision; at it, it works", async (t) => {
      const watches = await startWatches(t);
      for (const value of ["1", "2", "3"]) await watches.put("/a", value);
      await watches.compact(3);
      const created = await watches.create({ key: "/a", start: 2 });
      assert.deepEqual([created.created, created.canceled], [true, false]);
      const canceled = await watches.take();
      assert.deepEqual(
        [canceled.watchId, canceled.canceled, canceled.compactRevision, canceled.header?.revision, canceled.reason],
        [created.watchId, true, 3, 0, ""],
      );
      await watches.create({ key: "/a", start: 3 });
      const seen: string[] = [];
      while (seen.length < 2) seen.push(...summary(await watches.take()));
      assert.deepEqual(seen, ["put /a=2@3", "put /a=3@4"]);
    });

    test("a canceled watch says so once and then nothing; others on the stream go on", async (t) => {
      const watches = await startWatches(t);
      await watches.create({ key: "/a" });
      await watches.create({ key: "/a" });
      watches.stream.send(watchRequest.cancel(99)); // unknown: ignored
      watches.stream.send(watchRequest.cancel(0));
      const canceled = await watches.take();
      assert.deepEqual([canceled.watchId, canceled.canceled, canceled.header?.revision], [0, true, 1]);
      await watches.put("/a", "1");
      assert.equal((await watches.take()).watchId, 1);
      watches.stream.send(watchRequest.progress());
      assert.equal((await watches.take()).watchId, -1);
    });

    test("the client's half close ends nothing", async (t) => {
      const watches = await startWatches(t);
      await watches.create({ key: "/a" });
      watches.stream.end();
      await watches.put("/a", "1");
      assert.deepEqual(summary(await watches.take()), ["put /a=1@2"]);
    });

    test("a request that is no message ends the stream", async (t) => {
      const watches = await startWatches(t);
      watches.stream.send(Buffer.from("0a05", "hex"));
      await assert.rejects(watches.take(), { code: INTERNAL });
    });

    test("the server's stop ends the stream with Unavailable, so that the client resumes", async (t) => {
      const api = await startApi(t);
      const watches = new Watches(t, api);
      await watches.create({ key: "/a" });
      const stopped = api.server.stop(AbortSignal.timeout(5000));
      await assert.rejects(watches.take(), { code: UNAVAILABLE });
      await stopped;
    });

    test("the store's end ends the stream with Unavailable", async (t) => {
      const api = await startApi(t);
      const watches = new Watches(t, api);
      await watches.create({ key: "/a" });
      await api.store.close();
      await assert.rejects(watches.take(), { code: UNAVAILABLE });
    });

    test("a reader too slow is cut off with Unavailable, after whole events in order; others notice nothing", async (t) => {
      const api = await startApi(t, { watchBacklogBytes: 4 << 20 });
      const slow = new Watches(t, api);
      const quick = new Watches(t, api);
      await slow.create({ key: "/a" });
      await quick.create({ key: "/a" });
      slow.stream.pause();
      const value = "x".repeat(1 << 20);
      for (let i = 0; i < 60; i++) {
        const at = await slow.put("/a", value);
        assert.equal((await quick.take()).events[0]?.kv?.mod, at);
      }
      slow.stream.resume();
      let expected = 2;
      const drain = async () => {
        for (;;) assert.equal((await slow.take()).events[0]?.kv?.mod, expected++);
      };
      await assert.rejects(drain, { code: UNAVAILABLE, details: /too slow/ });
      assert.ok(expected < 60, `got ${expected} revisions`);
      const resumed = new Watches(t, api);
      await resumed.create({ key: "/a", start: expected });
      while (expected <= 61) for (const { kv } of (await resumed.take()).events) assert.equal(kv?.mod, expected++);
    });
  });

  test("Watch: readers that are slow together lose their streams, nobody an event", async (t) => {
    const api = await startApi(t, { watchBacklogBytes: 1 << 30, backlogBytes: 8 << 20 });
    const quick = new Watches(t, api);
    const slow = Array.from({ length: 12 }, () => new Watches(t, { ...api, client: api.connect() }));
    for (const watches of [quick, ...slow]) await watches.create({ key: "/a" });
    for (const { stream } of slow) stream.pause();
    const value = "x".repeat(1 << 19);
    const last = 21;
    for (let at = 2; at <= last; at++) {
      await quick.put("/a", value);
      assert.equal((await quick.take()).events[0]?.kv?.mod, at);
    }
    let cut = 0;
    for (const watches of slow) {
      let source = watches;
      source.stream.resume();
      for (let expected = 2; expected <= last;) {
        try {
          for (const { kv } of (await source.take()).events) assert.equal(kv?.mod, expected++);
        } catch (error) {
          assert.match(String(error), /14 UNAVAILABLE.*too slow/);
          cut++;
          source = new Watches(t, api);
          await source.create({ key: "/a", start: expected });
        }
      }
    }
    assert.ok(cut >= 6 && cut <= slow.length, `${cut} of ${slow.length} were cut off`);
  });

  test("Watch: history comes no faster than it is read, however much there is", async (t) => {
    const watches = await startWatches(t, { watchBacklogBytes: 1 << 20 });
    const value = "x".repeat(8_000);
    await Promise.all(Array.from({ length: 2000 }, () => watches.put("/a", value)));
    for (const prevKv of [false, true]) {
      const at = await watches.put("/b");
      watches.stream.pause();
      watches.stream.send(watchRequest.create({ key: "/a", start: 2, prevKv }));
      for (let i = 0; i < 50; i++) await watches.put("/b");
      watches.stream.resume();
      assert.equal((await watches.take()).header?.revision, at);
      let expected = 2;
      while (expected < 2002) for (const { kv } of (await watches.take()).events) assert.equal(kv?.mod, expected++);
    }
  });

  describe("Watch: progress", () => {
    test("on request is one answer for the stream, at a revision whose events were sent before", async (t) => {
      const watches = await startWatches(t);
      await watches.create({ key: "/a" });
      await watches.create({ key: "/b" });
      const at = await watches.put("/b", "1");
      watches.stream.send(watchRequest.progress());
      assert.deepEqual(summary(await watches.take()), [`put /b=1@${at}`]);
      const progress = await watches.take();
      assert.deepEqual([progress.watchId, progress.header?.revision, progress.events], [-1, at, []]);
    });

    test("on request is withheld while a watch waits for a revision to come", async (t) => {
      const watches = await startWatches(t);
      await watches.create({ key: "/a", start: 5 });
      watches.stream.send(watchRequest.progress());
      for (let i = 0; i < 4; i++) await watches.put("/a", String(i));
      assert.deepEqual(summary(await watches.take()), ["put /a=3@5"]); // neither progress nor earlier events came first
      watches.stream.send(watchRequest.progress());
      assert.deepEqual([(await watches.take()).watchId], [-1]);
    });

    test("goes to a watch that starts right after the current revision, on request and on the clock", async (t) => {
      const watches = await startWatches(t, { progressIntervalMs: 20 });
      const at = await watches.put("/a", "1");
      await watches.create({ key: "/a", start: at + 1, progress: true });
      const told = await watches.take();
      assert.deepEqual([told.watchId, told.header?.revision, told.events], [0, at, []]);
      watches.stream.send(watchRequest.progress());
      let answer = await watches.take();
      while (answer.watchId !== -1) answer = await watches.take();
      assert.equal(answer.header?.revision, at);
    });

    test("on request never runs ahead of events under load", async (t) => {
      const watches = await startWatches(t);
      await watches.create({ key: "/load/", end: "/load0" });
      const total = 300;
      const writes = Promise.all(Array.from({ length: total }, (_, i) => watches.put(`/load/${i}`, "x")));
      let seen = 1;
      let reports = 0;
      for (let events = 0; events < total;) {
        watches.stream.send(watchRequest.progress());
        const told = await watches.take();
        const revisions = told.events.map(({ kv }) => kv?.mod ?? 0);
        for (const at of revisions) assert.ok(at > seen, `event ${at} after ${seen} was reported`);
        if (told.watchId === -1) reports++;
        seen = Math.max(seen, told.header?.revision ?? 0, ...revisions);
        events += revisions.length;
      }
      await writes;
      assert.ok(reports > 0);
    });

    test("on the clock goes to quiet watches that asked for it", async (t) => {
      const watches = await startWatches(t, { progressIntervalMs: 20 });
      await watches.create({ key: "/quiet", progress: true });
      await watches.create({ key: "/silent" });
      const at = await watches.put("/other", "1");
      let told = await watches.take();
      while (told.header?.revision !== at) told = await watches.take();
      assert.deepEqual([told.watchId, told.events], [0, []]);
    });
  });
});
