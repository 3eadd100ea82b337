import assert from "node:assert/strict";
import { test } from "node:test";
import { txnOp, type Event, type WatchAnswer } from "@k3s/testkit";
import type { CaseClient } from "./support/case-client.ts";
import { onEachServer } from "./support/each-server.ts";
import { COMPACTED } from "./support/expect.ts";
import type { WatchPeer } from "./support/watch-peer.ts";

const NOPUT = 0;
const NODELETE = 1;

/** Writes a few revisions of one key and gives their numbers. */
async function writeRevisions(client: CaseClient, key: string, count: number): Promise<number[]> {
  const revisions: number[] = [];
  for (let i = 0; i < count; i++) revisions.push((await client.put({ key, value: `${i}` })).header.revision);
  return revisions;
}

/** Messages until the events reach that revision. */
async function messagesUpTo(watch: WatchPeer, revision: number): Promise<WatchAnswer[]> {
  const messages: WatchAnswer[] = [];
  for (let newest = 0; newest < revision;) {
    const message = await watch.take("events");
    messages.push(message);
    newest = message.events.at(-1)?.kv?.mod ?? 0;
  }
  return messages;
}

const mods = (events: readonly Event[]) => events.map(({ kv }) => kv?.mod);

onEachServer((start) => {
  test("P22 created: the first message, with the current revision, before any event", async (t) => {
    const { client, key } = await start(t);
    const [first = 0, , third = 0] = await writeRevisions(client, key("a"), 3);
    await client.put({ key: key("other") });
    const watch = client.watch();
    const created = await watch.create({ key: key("a"), start: first });
    assert.deepEqual([created.watchId, created.header?.revision, created.canceled], [0, third + 1, false]);
    assert.deepEqual(mods(await watch.events(3)), [first, first + 1, third]);
    const more = await watch.create({ key: key("b") });
    assert.deepEqual([more.watchId, more.header?.revision], [1, third + 1]);
    assert.equal((await watch.create({ key: key("c"), watchId: 77 })).watchId, 77);
  });

  test("P23 start 0: only what happens from now on", async (t) => {
    const { client, key } = await start(t);
    await writeRevisions(client, key("a"), 3);
    const watch = client.watch();
    await watch.create({ key: key("a") });
    const { header } = await client.put({ key: key("a"), value: "new" });
    const { events } = await watch.take("events");
    assert.deepEqual(
      events.map(({ kv }) => [kv?.mod, kv?.value, kv?.version]),
      [[header.revision, "new", 4]],
    );
    const future = client.watch();
    await future.create({ key: key("a"), start: header.revision + 3 });
    const later = await writeRevisions(client, key("a"), 4);
    assert.deepEqual(mods(await future.events(2)), later.slice(2));
  });

  test("P24 start at the compacted revision is allowed, below it refused with compact_revision", async (t) => {
    const { client, key } = await start(t);
    const revisions = await writeRevisions(client, key("a"), 5);
    const border = revisions[2] ?? 0;
    await client.compact(border);
    const watch = client.watch();
    const healthy = await watch.create({ key: key("other") });
    const created = await watch.create({ key: key("a"), start: border - 1 });
    assert.equal(created.canceled, false);
    const canceled = await watch.take("canceled");
    assert.deepEqual([canceled.watchId, canceled.compactRevision, canceled.events], [created.watchId, border, []]);
    await client.put({ key: key("other") });
    assert.equal((await watch.take("events")).watchId, healthy.watchId);
    const allowed = client.watch();
    await allowed.create({ key: key("a"), start: border });
    assert.deepEqual(mods(await allowed.events(3)), revisions.slice(2));
  });

  test("P25 negative start, bad range, duplicate id: created and canceled with id -1", async (t) => {
    const { client, differs, key } = await start(t);
    const watch = client.watch();
    await watch.create({ key: key("a"), watchId: 5 });
    for (const [args, reason] of [
      [{ key: key("b"), end: key("a") }, "mvcc: watcher range is empty"],
      [{ key: key("b"), end: key("b") }, "mvcc: watcher range is empty"],
      [{ key: key("a"), watchId: 5 }, "mvcc: duplicate watch ID provided on the WatchStream"],
      [{ key: key("a"), start: -1 }, COMPACTED],
    ] as const) {
      if (reason === COMPACTED && differs("negative start")) continue;
      const answer = await watch.create(args);
      assert.deepEqual([answer.canceled, answer.watchId], [true, -1], reason);
      assert.equal(answer.reason, reason);
    }
    await client.put({ key: key("a") });
    assert.equal((await watch.take("events")).watchId, 5);
  });

  test("P26 events are ordered and complete, a revision is never split", async (t) => {
    const { client, key } = await start(t);
    const from = (await client.revision()) + 1;
    const live = client.watch();
    await live.create({ key: key(), end: key("\xff") });
    const writers = Array.from({ length: 6 }, async (_, writer) => {
      for (let i = 0; i < 20; i++)
        await client.txn({
          success: Array.from({ length: 1 + (i % 4) }, (_, n) =>
            txnOp.put({ key: key(`${writer}/${n}`), value: `${i}`.repeat(50) }),
          ),
        });
    });
    await Promise.all(writers);
    const last = await client.revision();
    const replay = client.watch();
    await replay.create({ key: key(), end: key("\xff"), start: from });
    const [seen, replayed] = await Promise.all([messagesUpTo(live, last), messagesUpTo(replay, last)]);
    const flat = (messages: readonly WatchAnswer[]) => messages.flatMap(({ events }) => events);
    assert.deepEqual(flat(seen), flat(replayed));
    assert.equal(flat(seen).length, 6 * 5 * (1 + 2 + 3 + 4));
    for (const messages of [seen, replayed]) {
      const revisions = messages.map(({ events }) => mods(events).map(Number));
      let newest = 0;
      for (const group of revisions) {
        assert.ok((group[0] ?? 0) > newest, "a revision came in two messages, or out of order");
        assert.deepEqual(
          group,
          group.toSorted((a, b) => a - b),
        );
        newest = group.at(-1) ?? 0;
      }
      for (const { header, events } of messages) assert.ok((header?.revision ?? 0) >= (events.at(-1)?.kv?.mod ?? 0));
    }
    assert.equal(new Set(flat(seen).map(({ kv }) => kv?.mod)).size, 6 * 20);
  });

  test("P27 prev_kv: only on request, the exact previous value", async (t) => {
    const { client, key } = await start(t);
    const values = ["", "x", "y".repeat(300_000), "z"];
    const watches = await Promise.all(
      [true, false].map(async (prevKv) => {
        const watch = client.watch();
        await watch.create({ key: key("a"), prevKv });
        return watch;
      }),
    );
    const from = (await client.revision()) + 1;
    for (const value of values) await client.put({ key: key("a"), value });
    await client.delete({ key: key("a") });
    await client.put({ key: key("a"), value: "again" });
    const replay = client.watch();
    await replay.create({ key: key("a"), prevKv: true, start: from });
    const previous = (events: readonly Event[]) => events.map(({ prevKv }) => prevKv?.value);
    const expected = [undefined, ...values, undefined];
    const [asked, silent] = watches;
    assert.deepEqual(previous((await asked?.events(6)) ?? []), expected);
    assert.deepEqual(previous(await replay.events(6)), expected);
    assert.deepEqual(previous((await silent?.events(6)) ?? []), Array.from({ length: 6 }));
    const [kv] = (await client.range({ key: key("a"), revision: from + 1 })).kvs;
    const exact = client.watch();
    await exact.create({ key: key("a"), prevKv: true, start: from + 2 });
    assert.deepEqual((await exact.events(1))[0]?.prevKv, kv);
  });

  test("P28 delete event: key and revision, nothing else", async (t) => {
    const { client, key } = await start(t);
    const { id } = await client.grant(60);
    const watch = client.watch();
    await watch.create({ key: key("a") });
    await client.put({ key: key("a"), value: "value", lease: id });
    const { header } = await client.delete({ key: key("a") });
    const [, event] = await watch.events(2);
    const mod = header.revision;
    assert.deepEqual(event, {
      type: "delete",
      kv: { key: key("a"), create: 0, mod, version: 0, value: "", lease: 0n },
      prevKv: undefined,
    });
  });

  test("P29 a creation is known by create == mod, also after a re-creation", async (t) => {
    const { client, key } = await start(t);
    const watch = client.watch();
    await watch.create({ key: key("a"), prevKv: true });
    const from = (await client.revision()) + 1;
    await client.put({ key: key("a"), value: "1" });
    await client.put({ key: key("a"), value: "2" });
    await client.delete({ key: key("a") });
    await client.put({ key: key("a"), value: "3" });
    const expected = [
      ["put", from, from, 1, undefined],
      ["put", from, from + 1, 2, "1"],
      ["delete", 0, from + 2, 0, "2"],
      ["put", from + 3, from + 3, 1, undefined],
    ];
    const replay = client.watch();
    await replay.create({ key: key("a"), prevKv: true, start: from });
    for (const peer of [watch, replay])
      assert.deepEqual(
        (await peer.events(4)).map(({ type, kv, prevKv }) => [type, kv?.create, kv?.mod, kv?.version, prevKv?.value]),
        expected,
      );
  });

  test("P30 filters: no puts, no deletes", async (t) => {
    const { client, key } = await start(t);
    const from = (await client.revision()) + 1;
    const open = async (filters: readonly number[], start = 0) => {
      const watch = client.watch();
      await watch.create({ key: key("a"), filters, start });
      return watch;
    };
    const live = await Promise.all([open([NOPUT]), open([NODELETE])]);
    const unknown = await open([2]);
    for (const value of ["1", "2"]) {
      await client.put({ key: key("a"), value });
      await client.delete({ key: key("a") });
    }
    await client.put({ key: key("a"), value: "3" });
    const replayed = await Promise.all([open([NOPUT], from), open([NODELETE], from)]);
    for (const [noPut, noDelete] of [live, replayed] as const) {
      assert.deepEqual(mods((await noPut?.events(2)) ?? []), [from + 1, from + 3]);
      assert.deepEqual(mods((await noDelete?.events(3)) ?? []), [from, from + 2, from + 4]);
    }
    assert.deepEqual(mods(await unknown.events(5)), [from, from + 1, from + 2, from + 3, from + 4]);
  });

  test("P30 fragment: one revision in several messages, all but the last flagged", async (t) => {
    const { client, key } = await start(t);
    const value = "v".repeat(250_000);
    for (let i = 0; i < 12; i++) await client.put({ key: key(`${i}`), value });
    const [whole, parts] = [client.watch(), client.watch()];
    await whole.create({ key: key(), end: key("\xff"), prevKv: true });
    await parts.create({ key: key(), end: key("\xff"), prevKv: true, fragment: true });
    await client.delete({ key: key(), end: key("\xff") });
    const one = await whole.take("events");
    assert.deepEqual([one.events.length, one.fragment], [12, false]);
    const messages: WatchAnswer[] = [];
    do messages.push(await parts.take("events"));
    while (messages.at(-1)?.fragment === true);
    assert.ok(messages.length > 1);
    assert.deepEqual(
      messages.flatMap(({ events }) => events),
      one.events,
    );
    for (const { events } of messages) assert.ok(events.length * value.length < 2_097_152);
  });

  test("P34 cancel: one answer, nothing of that watch afterwards", async (t) => {
    const { client, key } = await start(t);
    const watch = client.watch();
    const { watchId } = await watch.create({ key: key("a") });
    const other = await watch.create({ key: key("b") });
    await client.put({ key: key("a") });
    await watch.take("events");
    watch.cancel(watchId);
    const canceled = await watch.take("canceled");
    assert.deepEqual([canceled.watchId, canceled.compactRevision, canceled.created], [watchId, 0, false]);
    assert.ok((canceled.header?.revision ?? 0) > 0);
    watch.cancel(watchId);
    watch.cancel(4711);
    await client.put({ key: key("a") });
    await client.put({ key: key("b") });
    const next = await watch.take("events");
    assert.deepEqual([next.watchId, next.events[0]?.kv?.key], [other.watchId, key("b")]);
  });
});
