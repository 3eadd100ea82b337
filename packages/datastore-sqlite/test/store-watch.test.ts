import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { TurnCounter, WatchRecorder } from "@k3s/testkit";
import { below, create, del, FROM_KEY, just, put, query, rangeOf, remove, update } from "./support/ops.ts";
import { storeAt, tempDatabase, tempStore } from "./support/temp-store.ts";

describe("Store.watch()", () => {
  test("tells live changes of the prefix in order, each with the state before", async (t) => {
    const store = await tempStore(t);
    const seen = new WatchRecorder(store, below("/a/"));
    await store.txn(create("/a/1", "one"));
    await store.txn(create("/b/1", "other"));
    await store.txn(update("/a/1", 3, "two"));
    await store.txn(remove("/a/1", 5));
    assert.deepEqual(seen.lines, ["3 put /a/1=one", "5 put /a/1=two was one@3", "6 delete /a/1= was two@5"]);
    assert.equal(seen.watch.revision, 2);
  });

  test("has told the watch before the writer gets its answer", async (t) => {
    const store = await tempStore(t);
    const seen = new WatchRecorder(store, rangeOf("/a"));
    await store.txn(create("/a", "1"));
    assert.deepEqual([seen.events.length, seen.watch.progress()], [1, 3]);
  });

  test("replays history from its start and goes on live, nothing lost or twice", async (t) => {
    const store = await tempStore(t);
    for (let i = 0; i < 2000; i++) void store.txn(create(`/a/${i}`, "x"));
    await store.txn(just(put("/mark", "")));
    const seen = new WatchRecorder(store, below("/a/"), 3);
    assert.equal(seen.watch.progress(), undefined);
    const writes = Array.from({ length: 500 }, (_, i) => store.txn(create(`/a/late-${i}`, "x")));
    await Promise.all(writes);
    await seen.count(2500);
    const revisions = seen.events.map(({ kv }) => kv.modRevision as number);
    assert.deepEqual(
      revisions,
      revisions.toSorted((a, b) => a - b),
    );
    assert.deepEqual([new Set(revisions).size, revisions.length], [2500, 2500]);
    assert.equal(seen.watch.progress(), store.currentRevision);
  });

  test("replays what an earlier process wrote, with the states before", async (t) => {
    const path = await tempDatabase(t);
    const first = await storeAt(t, path);
    await first.txn(create("/a", "1"));
    await first.txn(update("/a", 3, "2"));
    await first.txn(just(put("/b", "b"), del("/a"), put("/c", "c")));
    await first.close();
    const store = await storeAt(t, path);
    const seen = new WatchRecorder(store, rangeOf("/a", "/z"), 4);
    await seen.count(4);
    const group = ["7 put /b=b", "7 delete /a= was 2@4", "7 put /c=c"];
    assert.deepEqual(seen.lines, ["4 put /a=2 was 1@3", ...group]);
    assert.ok(seen.batches.every(({ events }) => new Set(events.map(({ kv }) => kv.modRevision)).size > 0));
  });

  test("tells all changes of one transaction in one batch", async (t) => {
    const store = await tempStore(t);
    const live = new WatchRecorder(store, rangeOf("/a", "/z"));
    await store.txn(just(put("/b", "1"), put("/a", "2")));
    const late = new WatchRecorder(store, rangeOf("/a", "/z"), 3);
    await late.count(2);
    for (const { batches } of [live, late])
      assert.deepEqual(
        batches.map(({ events }) => events.length),
        [2],
      );
    assert.deepEqual(live.lines, ["4 put /b=1", "4 put /a=2"]);
  });

  test("starts in the future without the events before its start", async (t) => {
    const store = await tempStore(t);
    const seen = new WatchRecorder(store, below("/a/"), 5);
    for (let i = 0; i < 4; i++) await store.txn(create(`/a/${i}`, "x"));
    assert.deepEqual(
      seen.events.map(({ kv }) => kv.modRevision as number),
      [5, 6],
    );
  });

  test("ends with the compacted revision when its start is gone, and may start there", async (t) => {
    const store = await tempStore(t);
    for (const value of ["1", "2", "3"]) await store.txn(just(put("/a", value)));
    await store.txn(just(del("/a")));
    await store.txn(just(put("/a", "4")));
    await store.compact(6);
    const early = new WatchRecorder(store, rangeOf("/a"), 5);
    assert.deepEqual(await early.ended(), { reason: "compacted", compactRevision: 6 });
    const border = new WatchRecorder(store, rangeOf("/a"), 6);
    await border.count(2);
    assert.deepEqual([early.events.length, border.lines], [0, ["6 delete /a=", "7 put /a=4"]]);
  });

  test("tells a deletion in the compacted revision also after a restart, without the state before", async (t) => {
    const path = await tempDatabase(t);
    const first = await storeAt(t, path);
    await first.txn(just(put("/a", "1")));
    await first.txn(just(del("/a")));
    await first.compact(first.currentRevision);
    await first.close();
    const second = await storeAt(t, path);
    const border = new WatchRecorder(second, rangeOf("/a"), 4);
    await border.count(1);
    assert.deepEqual(border.lines, ["4 delete /a="]);
  });

  test("close() ends the callbacks; the end of the store ends the others", async (t) => {
    const store = await tempStore(t);
    const closed = new WatchRecorder(store, rangeOf("/a"));
    const open = new WatchRecorder(store, rangeOf("/a"));
    closed.watch.close();
    await store.txn(create("/a", "1"));
    assert.deepEqual([closed.events.length, open.events.length], [0, 1]);
    await store.close();
    assert.deepEqual(await open.ended(), { reason: "stopped" });
  });

  const ranges = [
    { name: "one key", range: rangeOf("/a/1"), expected: ["/a/1"] },
    { name: "a prefix", range: below("/a/"), expected: ["/a/1", "/a/2"] },
    { name: "an uneven range", range: rangeOf("/a/2", "/b/2"), expected: ["/a/2", "/b/1"] },
    { name: "everything from a key on", range: { ...rangeOf("/a/2"), rangeEnd: FROM_KEY }, expected: ["/a/2", "/b/1"] },
    { name: "everything", range: { ...rangeOf(""), rangeEnd: FROM_KEY }, expected: ["/a/1", "/a/2", "/b/1"] },
    { name: "an empty range", range: rangeOf("/b", "/a"), expected: [] },
  ];
  for (const { name, range, expected } of ranges) {
    test(`watches ${name}, live as in replay`, async (t) => {
      const store = await tempStore(t);
      const live = new WatchRecorder(store, range);
      for (const key of ["/a/1", "/a/2", "/b/1"]) await store.txn(create(key, "x"));
      const late = new WatchRecorder(store, range, 3);
      await late.count(expected.length);
      for (const { events } of [live, late])
        assert.deepEqual(
          events.map(({ kv }) => kv.key.toString()),
          expected,
        );
    });
  }

  test("tells a revision of thousands of events in parts, over several turns of the event loop", async (t) => {
    const store = await tempStore(t);
    const keys = Array.from({ length: 2500 }, (_, i) => `/a/${i}`);
    await Promise.all(keys.map((key) => store.txn(create(key, "x"))));
    const parts: { readonly events: number; readonly isPart: boolean }[] = [];
    const perTurn = new TurnCounter();
    const told = Promise.withResolvers<void>();
    store.watch({
      ...below("/a/"),
      startRevision: 0,
      onEvents: ({ events, isPart }) => {
        for (const { type } of events) if (type === "delete") perTurn.add();
        parts.push({ events: events.length, isPart });
        if (!isPart) told.resolve();
      },
      onEnd: () => told.reject(new Error("The watch ended")),
    });
    await store.txn(just({ kind: "delete", ...below("/a/"), prevKv: false }));
    await told.promise;
    assert.deepEqual(parts, [
      { events: 1000, isPart: true },
      { events: 1000, isPart: true },
      { events: 500, isPart: false },
    ]);
    assert.deepEqual([perTurn.most, perTurn.turns], [1000, 3]);
  });

  test("progress never runs ahead of what a watch was told, whichever is told first", async (t) => {
    const store = await tempStore(t);
    let ahead = 0;
    const watches = [0, 1].map((own) =>
      store.watch({
        ...below("/a/"),
        startRevision: 0,
        // While one is told, the other may not have been: its progress must not cover this revision yet.
        onEvents: ({ revision }) => {
          if ((watches[1 - own]?.progress() ?? 0) >= revision) ahead++;
        },
        onEnd: () => undefined,
      }),
    );
    await Promise.all(Array.from({ length: 300 }, (_, i) => store.txn(create(`/a/${i}`, "x"))));
    assert.deepEqual([ahead, watches.map((watch) => watch.progress())], [0, [302, 302]]);
    assert.equal((await store.range(query(below("/a/"), { countOnly: true }))).count, 300);
  });
});
