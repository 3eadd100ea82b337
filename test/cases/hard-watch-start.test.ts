import assert from "node:assert/strict";
import { test } from "node:test";
import { watchRequest, type Event, type WatchAnswer } from "@k3s/testkit";
import { endOf, inParallel } from "./support/bulk.ts";
import type { CaseClient } from "./support/case-client.ts";
import { CutProxy } from "./support/cut-proxy.ts";
import { onEachServer } from "./support/each-server.ts";
import { ResumingWatch } from "./support/resuming-watch.ts";
import { kindOf } from "./support/watch-peer.ts";

/** An id that no other watch of the stream has. */
const LATE_ID = 7;
const CUTS = { events: 10_000, times: 20 };

const revisions = (events: readonly Event[]) => events.map(({ kv }) => kv?.mod);

/** The revisions of `count` writes to one key, one after the other. */
async function writes(client: CaseClient, key: string, count: number): Promise<number[]> {
  const made: number[] = [];
  for (let i = 0; i < count; i++) made.push((await client.put({ key, value: String(i) })).header.revision);
  return made;
}

onEachServer((start) => {
  test("hard case 14, compacted watch: canceled with the compacted revision, its neighbours are not", async (t) => {
    const { client, key } = await start(t);
    const range = { key: key(), end: endOf(key()) };
    const made = await writes(client, key("a"), 10);
    const compacted = made[5] ?? 0;
    await client.compact(compacted);
    const stream = client.watch();
    const neighbour = await stream.create(range);
    const busy: number[] = [];
    const writing = inParallel(100, 4, async () => {
      busy.push((await client.put({ key: key("busy") })).header.revision);
    });
    stream.stream.send(watchRequest.create({ ...range, start: compacted - 1, watchId: LATE_ID }));
    const told: WatchAnswer[] = [];
    const of = (watchId: number) => told.filter((message) => message.watchId === watchId);
    const eventsOf = (watchId: number) => of(watchId).flatMap(({ events }) => events);
    while (eventsOf(neighbour.watchId).length < 100 || of(LATE_ID).length < 2) told.push(await stream.next());
    await writing;
    assert.deepEqual(of(LATE_ID).map(kindOf), ["created", "canceled"]);
    assert.equal(of(LATE_ID)[1]?.compactRevision, compacted);
    assert.deepEqual(
      revisions(eventsOf(neighbour.watchId)),
      busy.toSorted((a, b) => a - b),
    );
  });

  test("hard case 15, watch at border: the compacted revision itself may be asked for", async (t) => {
    const { client, key } = await start(t);
    await client.put({ key: key("gone") });
    await client.put({ key: key("kept"), value: "1" });
    const { revision } = (await client.delete({ key: key("gone") })).header;
    const later = (await client.put({ key: key("kept"), value: "2" })).header.revision;
    await client.compact(revision, true);
    const watch = client.watch();
    await watch.create({ key: key(), end: endOf(key()), start: revision, prevKv: true });
    const events = await watch.events(2);
    assert.deepEqual(revisions(events), [revision, later]);
    assert.equal(events[0]?.prevKv, undefined, "only what is not compacted");
    await client.compact(later, true);
    const again = client.watch();
    await again.create({ key: key(), end: endOf(key()), start: later });
    assert.deepEqual(revisions(await again.events(1)), [later], "what is alive at the compacted revision is told");
  });

  test("hard case 15, watch at border: the same after a restart", async (t) => {
    const { client, connect, key, server } = await start(t, {});
    await client.put({ key: key("a") });
    const { revision } = (await client.delete({ key: key("a") })).header;
    await client.compact(revision, true);
    await server.restart("SIGKILL");
    const later = connect();
    const next = (await later.put({ key: key("a") })).header.revision;
    const watch = later.watch();
    await watch.create({ key: key("a"), start: revision });
    assert.deepEqual(revisions(await watch.events(2)), [revision, next]);
  });

  test("hard case 16, watch start 0 / future: only what is new, only from the start on", async (t) => {
    const { client, key } = await start(t);
    const history = await writes(client, key("a"), 3);
    const current = history.at(-1) ?? 0;
    const now = client.watch();
    const future = client.watch();
    assert.equal((await now.create({ key: key("a") })).header?.revision, current);
    assert.equal((await future.create({ key: key("a"), start: current + 5 })).header?.revision, current);
    const made = await writes(client, key("a"), 10);
    assert.deepEqual(revisions(await now.events(10)), made);
    assert.deepEqual(revisions(await future.events(6)), made.slice(4));
  });

  test("hard case 17, created header resume: a write during the cut is delivered once", async (t) => {
    const { client, key, server } = await start(t);
    const proxy = await CutProxy.start(t, server.port);
    const watch = new ResumingWatch(t, `127.0.0.1:${proxy.port}`, { key: key("a") });
    await watch.open();
    assert.equal(watch.next, (await client.revision()) + 1);
    proxy.cut();
    const made = await writes(client, key("a"), 1);
    await watch.read(1);
    made.push(...(await writes(client, key("a"), 1)));
    await watch.read(2);
    assert.deepEqual(revisions(watch.events), made);
    assert.equal(watch.resumes, 1);
  });

  test("hard case 18, resume after disconnect: 20 kills in the middle of 10,000 events, each revision once, in order", async (t) => {
    const { client, key, server } = await start(t);
    const proxy = await CutProxy.start(t, server.port);
    const watch = new ResumingWatch(t, `127.0.0.1:${proxy.port}`, { key: key(), end: endOf(key()) });
    await watch.open();
    const made: number[] = [];
    // What is read before a cut was written after the one before: so each of them kills a connection that delivers.
    const portion = Math.ceil(CUTS.events / (CUTS.times + 1));
    for (let cut = 1; made.length < CUTS.events; cut++) {
      const done = made.length;
      const count = Math.min(portion, CUTS.events - done);
      const writing = inParallel(count, 32, async (i) => {
        made.push((await client.put({ key: key(String(i % 50)) })).header.revision);
      });
      await watch.read(done + Math.ceil(count / 2));
      if (cut <= CUTS.times) proxy.cut();
      await writing;
      await watch.read(made.length);
    }
    assert.deepEqual(
      revisions(watch.events),
      made.toSorted((a, b) => a - b),
    );
    assert.equal(made.length, CUTS.events);
    assert.ok(watch.resumes >= CUTS.times, `${watch.resumes} resumes`);
  });
});
