import assert from "node:assert/strict";
import { test } from "node:test";
import { repeat } from "@k3s/async";
import { watchRequest, type WatchAnswer } from "@k3s/testkit";
import { kindOf } from "./support/watch-peer.ts";
import type { CaseClient } from "./support/case-client.ts";
import { onEachServer } from "./support/each-server.ts";
import { endOf, keysBelow, putAll } from "./support/bulk.ts";
import { scaled } from "./support/scale.ts";

const WRITERS = 8;
const NEVER_AHEAD = scaled({ short: { events: 3_000, ms: 2_000 }, full: { events: 1_000_000, ms: 600_000 } });
const REPLAYED = scaled({ short: 20_000, full: 100_000 });
/** Watches of one stream that listen to parts of the traffic, and to none of it. */
const PREFIXES = ["", "0", "7", "quiet"];

onEachServer((start) => {
  test("hard case 19, progress never ahead: after progress r comes no event up to r", async (t) => {
    const { client, connect, key } = await start(t, { progressIntervalMs: 5 });
    const stream = connect().watch();
    for (const name of PREFIXES)
      stream.stream.send(watchRequest.create({ key: key(name), end: endOf(key(name)), progress: true }));
    for (let created = 0; created < PREFIXES.length;) if ((await stream.next()).created) created++;
    const done = new AbortController();
    const asking = repeat(1, () => stream.requestProgress(), done.signal);
    let last = Infinity;
    const writing = write(client, key).then((revision) => (last = revision));
    const told = PREFIXES.map((_, id) => new Told(id));
    const [everything = new Told(0)] = told;
    let answers = 0;
    while (everything.event < last) {
      const message = await stream.next();
      for (const one of told) one.take(message);
      if (kindOf(message) === "progress") answers++;
    }
    await writing;
    done.abort();
    await asking;
    t.diagnostic(`${everything.events} events, ${answers} progress messages`);
    assert.ok(answers > 0);
    assert.equal(everything.events, last - 1, "each revision of the store is one event");
  });

  test("hard case 21, progress on idle: it rises with the store although nothing happens here", async (t) => {
    const { client, key } = await start(t);
    const stream = client.watch();
    const created = await stream.create({ key: key("quiet"), progress: true });
    const stop = new AbortController();
    const busy = repeat(1, () => putOnce(client, key("busy")), stop.signal);
    let before = created.header?.revision ?? 0;
    for (let rises = 0; rises < 5;) {
      const message = await stream.take("progress");
      const revision = message.header?.revision ?? 0;
      assert.ok(revision >= before, `${revision} after ${before}`);
      assert.ok(revision <= (await client.revision()));
      assert.equal(message.watchId, created.watchId);
      if (revision > before) rises++;
      before = revision;
    }
    stop.abort();
    await busy;
  });

  test("hard case 20, broadcast -1 gate: no answer while a watch of the stream is in the past", async (t) => {
    const { client, key } = await start(t);
    const from = await client.revision();
    await putAll(client, keysBelow(key("b"), REPLAYED));
    const last = await client.revision();
    const stream = client.watch();
    await stream.create({ key: key("a"), end: key("b") });
    stream.requestProgress();
    assert.equal((await stream.take("progress")).watchId, -1, "with one watch that is up to date");
    await stream.create({ key: key("b"), end: endOf(key("b")), start: from + 1 });
    let events = 0;
    let isAnswered = false;
    stream.requestProgress();
    while (!isAnswered) {
      const message = await stream.next();
      events += message.events.length;
      isAnswered = kindOf(message) === "progress";
      if (isAnswered) assert.deepEqual([message.watchId, events], [-1, REPLAYED]);
      if (isAnswered) assert.ok((message.header?.revision ?? 0) >= last);
      else stream.requestProgress();
    }
  });
});

/** Lets all writers change keys until there are enough changes and enough time has gone; resolves with the last revision. */
async function write(client: CaseClient, key: (name: string) => string): Promise<number> {
  const endsAt = performance.now() + NEVER_AHEAD.ms;
  let count = 0;
  const work = async () => {
    while (count < NEVER_AHEAD.events || performance.now() < endsAt)
      await client.put({ key: key(String(count++ % 100)), value: "x".repeat(count % 200) });
  };
  await Promise.all(Array.from({ length: WRITERS }, work));
  return client.revision();
}

async function putOnce(client: CaseClient, key: string): Promise<void> {
  await client.put({ key });
}

/** What one watch knows. Throws when it hears of something that was said to be over. */
class Told {
  events = 0;
  /** Revision of the last event. */
  event = 0;
  readonly #id: number;
  #progress = 0;

  constructor(id: number) {
    this.#id = id;
  }

  take(message: WatchAnswer): void {
    const { watchId, events, header } = message;
    const isProgress = kindOf(message) === "progress";
    if (watchId !== this.#id && !(isProgress && watchId === -1)) return;
    if (isProgress) this.#progress = Math.max(this.#progress, header?.revision ?? 0);
    for (const { kv } of events) this.#takeEvent(kv?.mod ?? 0);
  }

  #takeEvent(mod: number): void {
    assert.ok(mod > this.#progress, `watch ${this.#id}: event ${mod} after progress ${this.#progress}`);
    assert.ok(mod > this.event, `watch ${this.#id}: event ${mod} after event ${this.event}`);
    this.event = mod;
    this.events++;
  }
}
