import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import { deadline, nextTurn } from "@k3s/async";
import type { OpenStore } from "@k3s/datastore";
import { Backlog } from "../src/backlog.ts";
import { Outbox } from "../src/outbox.ts";
import { RpcError } from "../src/rpc-error.ts";
import { watchService } from "../src/watch-service.ts";
import { WatchStream } from "../src/watch-stream.ts";
import { emptyStore, serviceContext, temporaryFolder } from "./support/api.ts";
import { readWatch, watchRequest } from "@k3s/testkit";

const NO_LIMIT = 1 << 30;
/** Nothing in these tests takes longer unless it hangs. */
const PATIENCE_MS = 20_000;

async function put(store: OpenStore, key: string): Promise<void> {
  const flags = { prevKv: false, ignoreValue: false, ignoreLease: false };
  const op = { kind: "put", key: Buffer.from(key), value: Buffer.from("x"), lease: 0n, ...flags } as const;
  await store.txn({ compare: [], success: [op], failure: [] });
}

async function openWatches(t: TestContext) {
  const store = await emptyStore(t, await temporaryFolder(t));
  const context = serviceContext(store);
  const outbox = new Outbox(NO_LIMIT, context.backlog);
  const watches = new WatchStream(context, outbox);
  t.after(() => watches.close());
  return { store, watches, outbox, take: async () => readWatch(Buffer.from(await outbox.take())) };
}

describe("WatchStream", () => {
  test("reportProgress() skips a watch that had an event since the last time", async (t) => {
    const { store, watches, take } = await openWatches(t);
    watches.receive(watchRequest.create({ key: "/a", progress: true }));
    watches.receive(watchRequest.create({ key: "/b", progress: true }));
    assert.deepEqual([(await take()).watchId, (await take()).watchId], [0, 1]);
    await put(store, "/a");
    const event = await take();
    assert.deepEqual([event.watchId, event.events.length], [0, 1]);
    watches.reportProgress();
    watches.reportProgress();
    const reports = [await take(), await take(), await take()];
    assert.deepEqual(
      reports.map(({ watchId, header, events }) => [watchId, header?.revision, events.length]),
      [
        [1, 2, 0], // the first time: not the watch that knows already
        [0, 2, 0],
        [1, 2, 0],
      ],
    );
  });

  test("sends a revision of thousands of events as one message", async (t) => {
    const { store, watches, take } = await openWatches(t);
    const keys = Array.from({ length: 2500 }, (_, i) => `/a/${i}`);
    await Promise.all(keys.map((key) => put(store, key)));
    watches.receive(watchRequest.create({ key: "/a", end: "/b" }));
    await take();
    const range = { key: Buffer.from("/a"), rangeEnd: Buffer.from("/b") };
    await store.txn({ compare: [], success: [{ kind: "delete", ...range, prevKv: false }], failure: [] });
    await put(store, "/a");
    const [gone, next] = [await take(), await take()];
    assert.deepEqual([new Set(gone.events.map(({ kv }) => kv?.key.toString())).size, gone.events.length], [2500, 2500]);
    assert.deepEqual([gone.header?.revision, next.header?.revision], [5001, 5002]);
  });

  for (const { title, end } of [
    { title: "a canceled watch", end: (watches: WatchStream) => watches.receive(watchRequest.cancel(0)) },
    { title: "a closed stream", end: (watches: WatchStream) => watches.close() },
  ])
    test(`keeps no memory for a revision that ${title} was told in part`, async (t) => {
      const { store, watches, outbox, take } = await openWatches(t);
      await Promise.all(Array.from({ length: 5000 }, (_, i) => put(store, `/a/${i}`)));
      watches.receive(watchRequest.create({ key: "/a", end: "/b" }));
      await take();
      const range = { key: Buffer.from("/a"), rangeEnd: Buffer.from("/b") };
      await store.txn({ compare: [], success: [{ kind: "delete", ...range, prevKv: false }], failure: [] });
      using limit = deadline(PATIENCE_MS, "Waiting for the events");
      while (outbox.waitingBytes === 0 && !limit.aborted) await nextTurn();
      const gathered = outbox.waitingBytes;
      end(watches);
      assert.ok(gathered > 1000 && outbox.waitingBytes < 500, `${gathered} bytes before, ${outbox.waitingBytes} after`);
      for (let turns = 0; turns < 20; turns++) await nextTurn();
      assert.ok(outbox.waitingBytes < 500, `${outbox.waitingBytes} bytes later`);
    });

  test("says nothing more after close()", async (t) => {
    const { store, watches, take } = await openWatches(t);
    watches.receive(watchRequest.create({ key: "/a", progress: true }));
    await take();
    watches.close();
    await put(store, "/a");
    watches.reportProgress();
    watches.receive(watchRequest.progress());
    watches.receive(watchRequest.create({ key: "/b" }));
    assert.equal((await take()).created, true); // of the new watch: nothing came before it
  });
});

describe("watchService()", () => {
  test("ends a call that is too far behind also while its reader takes nothing", async (t) => {
    const store = await emptyStore(t, await temporaryFolder(t));
    const [[, method] = []] = watchService(serviceContext(store, { watchBacklogBytes: 1000 }));
    assert.ok(method?.kind === "stream");
    const requests = (async function* () {
      yield await Promise.resolve(watchRequest.create({ key: "/a" }));
    })();
    const { signal } = new AbortController();
    const call = { requests, signal, write: () => new Promise<void>(() => undefined) };
    const ended = assert.rejects(method.handle(call), { name: "RpcError", code: 14 });
    for (let i = 0; i < 10; i++) await put(store, "/a");
    await ended;
  });
});

describe("Outbox", () => {
  test("gives messages in order and holds at most its limit, but always one", async () => {
    const outbox = new Outbox(510, new Backlog(NO_LIMIT)); // 250 for each message
    outbox.push(Buffer.alloc(1000, 1));
    assert.equal((await outbox.take()).length, 1000);
    outbox.push(Buffer.alloc(4, 2));
    outbox.push(Buffer.alloc(6, 3));
    assert.equal((await outbox.take())[0], 2);
    outbox.push(Buffer.alloc(4, 4));
    assert.equal((await outbox.take())[0], 3);
    assert.equal((await outbox.take())[0], 4);
    outbox.push(Buffer.alloc(8));
    outbox.push(Buffer.alloc(8));
    await assert.rejects(outbox.take(), { name: "RpcError", code: 14 });
  });

  test("takes what a reader gets as one with nothing before it, however large, and nothing behind it that is too much", async () => {
    const outbox = new Outbox(500, new Backlog(NO_LIMIT));
    outbox.push(Buffer.alloc(400, 1), Buffer.alloc(400, 2));
    assert.deepEqual([(await outbox.take())[0], (await outbox.take())[0]], [1, 2]);
    outbox.push(Buffer.alloc(100, 3));
    outbox.push(Buffer.alloc(10, 4), Buffer.alloc(10, 5));
    await assert.rejects(outbox.take(), { name: "RpcError", code: 14 });
  });

  test("counts what is gathered for it until that is pushed, dropped, or nobody wants it any more", () => {
    const backlog = new Backlog(1000);
    const outbox = new Outbox(NO_LIMIT, backlog);
    const gathered = outbox.gather(300);
    assert.deepEqual([outbox.waitingBytes, backlog.isStrained], [300, true]);
    gathered[Symbol.dispose]();
    assert.deepEqual([outbox.waitingBytes, backlog.isStrained], [0, false]);
    const lost = outbox.gather(300);
    outbox.fail(RpcError.stopped());
    lost[Symbol.dispose]();
    outbox.gather(300)[Symbol.dispose]();
    assert.deepEqual([outbox.waitingBytes, backlog.isStrained], [0, false]);
  });

  test("of readers for whom too much is gathered the one with most is cut off", async () => {
    const backlog = new Backlog(1000);
    const [one, other] = [new Outbox(NO_LIMIT, backlog), new Outbox(NO_LIMIT, backlog)];
    one.gather(400);
    other.gather(700);
    await nextTurn();
    assert.deepEqual([one.waitingBytes, other.waitingBytes], [400, 0]);
    await assert.rejects(other.take(), { name: "RpcError", code: 14 });
  });

  test("gives one turn after the other, each when little is left to read", async () => {
    const outbox = new Outbox(5500, new Backlog(NO_LIMIT));
    const order: string[] = [];
    const addInTurn = async (name: string) => {
      using _turn = await outbox.takeTurn();
      order.push(name);
      outbox.push(Buffer.alloc(100));
      await nextTurn();
    };
    const all = Promise.all([addInTurn("first"), addInTurn("second"), addInTurn("third")]);
    await nextTurn();
    await nextTurn();
    assert.deepEqual(order, ["first"]);
    await outbox.take();
    await nextTurn();
    assert.deepEqual(order, ["first", "second"]);
    outbox.fail(RpcError.stopped());
    await all;
    assert.deepEqual(order, ["first", "second", "third"]);
  });

  test("tells of its failure also while its reader takes nothing", async () => {
    const outbox = new Outbox(510, new Backlog(NO_LIMIT));
    outbox.push(Buffer.alloc(100));
    outbox.push(Buffer.alloc(100));
    await assert.rejects(outbox.failed, { name: "RpcError", code: 14 });
  });

  test("gives what is pushed while somebody waits", async () => {
    const outbox = new Outbox(10, new Backlog(NO_LIMIT));
    const waiting = outbox.take();
    outbox.push(Buffer.of(7));
    assert.equal((await waiting)[0], 7);
  });
});
