import assert from "node:assert/strict";
import { test } from "node:test";
import { rangeRequest, type Kv } from "@k3s/testkit";
import { endOf, inParallel, keysBelow, putAll } from "./support/bulk.ts";
import { onEachServer } from "./support/each-server.ts";
import { scaled } from "./support/scale.ts";

const UNIMPLEMENTED = 12;
const OBJECTS = scaled({ short: 5_000, full: 50_000 });
const PAGE = 500;

// RangeStream is of etcd 3.7; we say that we are 3.6, whose servers do not know it either, and kube-apiserver 1.37 asks for
// pages instead after Unimplemented. Of kube-apiservers only 1.20.2 can be built from what Debian has: test/system runs it.
onEachServer((start) => {
  test("hard case 40, RangeStream and old servers: Unimplemented, then the same list in pages of one revision", async (t) => {
    const { client, key } = await start(t, {});
    const keys = keysBelow(key(), OBJECTS);
    await putAll(client, keys, "old");
    const range = { key: key(), end: endOf(key()) };
    const stream = client.raw.stream(t, "/etcdserverpb.KV/RangeStream");
    stream.send(rangeRequest(range));
    await assert.rejects(stream.take(), { code: UNIMPLEMENTED });

    const stop = new AbortController();
    const writing = inParallel(OBJECTS, 2, async (i) => {
      if (!stop.signal.aborted) await client.put({ key: keys[(i * 7919) % OBJECTS] ?? "", value: "new" });
    });
    const kvs: Kv[] = [];
    let revision = 0;
    for (let more = true; more;) {
      const from = kvs.length === 0 ? key() : `${kvs.at(-1)?.key}\0`;
      const page = await client.range({ ...range, key: from, limit: PAGE, revision });
      revision ||= page.header.revision;
      kvs.push(...page.kvs);
      more = page.more ?? false;
    }
    stop.abort();
    await writing;
    assert.deepEqual(
      kvs.map((kv) => kv.key),
      keys,
    );
    const whole = await client.range({ ...range, revision });
    assert.deepEqual(kvs, whole.kvs, "the pages are one state");
  });

  test("hard case 40, RangeStream and old servers: given up in the middle, the connection goes on", async (t) => {
    const { client, key } = await start(t);
    await client.put({ key: key("a") });
    for (let i = 0; i < 50; i++) {
      const stream = client.raw.stream(t, "/etcdserverpb.KV/RangeStream");
      stream.send(rangeRequest({ key: key(), end: endOf(key()) }));
      if (i % 2 === 0) stream.cancel();
      await assert.rejects(stream.take(), { code: i % 2 === 0 ? 1 : UNIMPLEMENTED });
    }
    assert.equal((await client.range({ key: key("a") })).kvs.length, 1);
  });
});
