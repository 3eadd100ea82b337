import assert from "node:assert/strict";
import { test } from "node:test";
import type { Event, WatchAnswer } from "@k3s/testkit";
import { endOf } from "./support/bulk.ts";
import { onEachServer } from "./support/each-server.ts";

const MIB = 1 << 20;
const SIZES = [0, 1, 100, 65_536, MIB];
const [NOPUT, NODELETE] = [0, 1];
/** etcd's limit of a message that takes part in fragmentation: the largest request and its overhead. */
const FRAGMENT_BYTES = 2 * MIB;

const summary = (events: readonly Event[]) => events.map(({ type, kv }) => `${type} ${kv?.mod}`);

onEachServer((start) => {
  test("hard case 22, prev_kv exactness: the value before, only when asked, not when compacted", async (t) => {
    const { client, key } = await start(t);
    const values = SIZES.map((size, i) => String(i).repeat(size).slice(0, size));
    const made: number[] = [];
    for (const value of values) made.push((await client.put({ key: key("a"), value })).header.revision);
    made.push((await client.delete({ key: key("a") })).header.revision);
    const [first = 0] = made;
    const replay = async (from: number, prevKv: boolean) => {
      const watch = client.watch();
      await watch.create({ key: key("a"), start: from, prevKv });
      const events = await watch.events(made.filter((revision) => revision >= from).length);
      watch.stream.cancel();
      return events.map(({ prevKv: before }) => before && [before.mod, before.version, before.create, before.value]);
    };
    const before = values.map((value, i) => [made[i], i + 1, first, value]);
    assert.deepEqual(await replay(first, true), [undefined, ...before]);
    assert.deepEqual(
      await replay(first, false),
      made.map(() => undefined),
    );
    const compacted = made[2] ?? 0;
    await client.compact(compacted);
    assert.deepEqual(await replay(compacted, true), [undefined, ...before.slice(2)]);
  });

  test("hard case 23, filters: without puts, without deletes, without both", async (t) => {
    const { client, key } = await start(t);
    const open = async (filters: readonly number[]) => {
      const watch = client.watch();
      await watch.create({ key: key("a"), filters });
      return watch;
    };
    const [deletes, puts, neither] = [await open([NOPUT]), await open([NODELETE]), await open([NOPUT, NODELETE])];
    const all = await open([]);
    for (let i = 0; i < 2; i++) {
      await client.put({ key: key("a") });
      await client.delete({ key: key("a") });
    }
    const expected = summary(await all.events(4));
    assert.deepEqual(
      summary(await puts.events(2)),
      expected.filter((event) => event.startsWith("put")),
    );
    assert.deepEqual(
      summary(await deletes.events(2)),
      expected.filter((event) => event.startsWith("delete")),
    );
    neither.cancel(0);
    await neither.take("canceled"); // nothing came before it
  });

  test("hard case 23, fragment: 3 MiB of one revision, split with flags only for a watch that takes it", async (t) => {
    const { client, key } = await start(t);
    const keys = ["1", "2", "3"].map((name) => key(name));
    for (const one of keys) await client.put({ key: one, value: "v".repeat(MIB) });
    const [split, whole] = [client.watch(), client.watch()];
    const range = { key: key(), end: endOf(key()), prevKv: true };
    await split.create({ ...range, fragment: true });
    await whole.create(range);
    const { revision } = (await client.delete({ key: key(), end: endOf(key()) })).header;
    const parts: WatchAnswer[] = [await split.take("events")];
    while (parts.at(-1)?.fragment === true) parts.push(await split.take("events"));
    assert.ok(parts.length > 1);
    for (const { events } of parts)
      assert.ok(events.reduce((sum, { prevKv }) => sum + (prevKv?.value.length ?? 0), 0) <= FRAGMENT_BYTES);
    const one = await whole.take("events");
    assert.equal(one.fragment, false);
    for (const events of [parts.flatMap((part) => part.events), one.events]) {
      assert.deepEqual(
        events.map(({ kv }) => kv?.key),
        keys,
      );
      assert.ok(events.every(({ kv, prevKv }) => kv?.mod === revision && prevKv?.value.length === MIB));
    }
  });
});
