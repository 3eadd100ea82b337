import assert from "node:assert/strict";
import { test } from "node:test";
import { modEquals, txnOp } from "@k3s/testkit";
import { onEachServer } from "./support/each-server.ts";
import { endOf, inParallel } from "./support/bulk.ts";
import { scaled } from "./support/scale.ts";

const INVALID_ARGUMENT = 3;
const RESOURCE_EXHAUSTED = 8;

const STORM = { clients: 64, tries: scaled({ short: 800, full: 10_000 }) };

onEachServer((start, differs) => {
  test("hard case 10, CAS storm: one success per revision, each failure with what beat it, no holes", async (t) => {
    const { client, connect, key } = await start(t, {});
    const { revision: base } = (await client.put({ key: key("a"), value: "0" })).header;
    const won: number[] = [];
    let lost = 0;
    const clients = Array.from({ length: STORM.clients }, () => connect());
    const known = clients.map(() => base);
    await inParallel(STORM.tries, STORM.clients, async (i) => {
      const who = i % STORM.clients;
      const seen = known[who] ?? 0;
      const answer = await (clients[who] ?? client).txn({
        compare: [modEquals(key("a"), seen)],
        success: [txnOp.put({ key: key("a"), value: String(i) })],
        failure: [txnOp.range({ key: key("a") })],
      });
      if (answer.succeeded === true) won.push((known[who] = answer.header.revision));
      else {
        const newer = answer.responses[0]?.kvs[0]?.mod ?? 0;
        assert.ok(newer > seen, `failed at ${seen}, beaten by ${newer}`);
        known[who] = newer;
        lost++;
      }
    });
    t.diagnostic(`${won.length} successes, ${lost} failures`);
    assert.equal(won.length + lost, STORM.tries);
    assert.deepEqual(
      won.toSorted((a, b) => a - b),
      won.map((_, i) => base + 1 + i),
    );
    assert.equal((await client.range({ key: key("a") })).kvs[0]?.version, won.length + 1);
  });

  test("hard case 11, delete matrix: only the real delete raises the revision", async (t) => {
    const { client, key } = await start(t);
    const { revision: created } = (await client.put({ key: key("a") })).header;
    const remove = async (name: string, mod: number) => {
      const { succeeded, header, responses } = await client.txn({
        compare: [modEquals(key(name), mod)],
        success: [txnOp.delete(key(name))],
        failure: [txnOp.range({ key: key(name) })],
      });
      const kvs = responses[0]?.kvs.map((kv) => kv.mod);
      return { succeeded: succeeded ?? false, raise: header.revision - created, deleted: responses[0]?.deleted, kvs };
    };
    const failed = (raise: number, kvs: readonly number[]) => ({ succeeded: false, raise, deleted: undefined, kvs });
    const removed = (raise: number, deleted?: number) => ({ succeeded: true, raise, deleted, kvs: [] });
    assert.deepEqual(await remove("a", created + 5), failed(0, [created]), "wrong revision");
    assert.deepEqual(await remove("missing", 0), removed(0), "missing, compared with 0");
    assert.deepEqual(await remove("missing", 5), failed(0, []), "missing, compared with 5");
    assert.deepEqual(await remove("a", created), removed(1, 1), "existing");
    assert.deepEqual(await remove("a", created), failed(1, []), "deleted before");
    assert.deepEqual(await remove("a", 0), removed(1), "deleted before, compared with 0");
  });

  test("hard case 12, re-create: a new life with version 1 and no past", async (t) => {
    const { client, key } = await start(t);
    const watch = client.watch();
    await watch.create({ key: key("a"), prevKv: true });
    await client.put({ key: key("a"), value: "1" });
    await client.put({ key: key("a"), value: "2" });
    await client.delete({ key: key("a") });
    const { revision } = (await client.put({ key: key("a"), value: "4" })).header;
    const kv = (await client.range({ key: key("a") })).kvs[0];
    assert.deepEqual([kv?.version, kv?.create, kv?.mod], [1, revision, revision]);
    const events = await watch.events(4);
    const last = events.at(-1);
    assert.deepEqual([last?.type, last?.kv, last?.prevKv], ["put", kv, undefined]);
    assert.deepEqual(
      events.map(({ prevKv }) => prevKv?.value),
      [undefined, "1", "2", undefined],
    );
  });

  test("hard case 13, txn multi-op: one revision, reads see the writes before, one message of events", async (t) => {
    const { client, key } = await start(t);
    const { revision: before } = (await client.put({ key: key("c") })).header;
    const watch = client.watch();
    await watch.create({ key: key(), end: endOf(key()) });
    const { header, responses } = await client.txn({
      success: [
        txnOp.put({ key: key("a"), value: "new" }),
        txnOp.put({ key: key("b") }),
        txnOp.range({ key: key("a") }),
        txnOp.delete(key("c")),
      ],
    });
    const [putA, putB, range, deleted] = responses;
    assert.equal(range?.kvs[0]?.value, "new");
    assert.equal(deleted?.deleted, 1);
    for (const one of [putA, putB, deleted, range?.kvs[0]])
      assert.equal(one === undefined || "mod" in one ? one?.mod : one.header?.revision, header.revision);
    const message = await watch.take("events");
    assert.deepEqual(
      message.events.map(({ type, kv }) => [type, kv?.key, kv?.mod]),
      [
        ["put", key("a"), header.revision],
        ["put", key("b"), header.revision],
        ["delete", key("c"), header.revision],
      ],
    );
    assert.equal(header.revision - before, differs("revision per write") ? 3 : 1);
    assert.equal(await client.revision(), header.revision);
  });

  test("hard case 27, oversize: each limit has its own error, and the connection survives", async (t) => {
    const { client, key } = await start(t);
    const put = (size: number) => client.put({ key: key("a"), value: "v".repeat(size) });
    const MIB = 1 << 20;
    await put(1.5 * MIB - 1024);
    const tooLarge = { code: INVALID_ARGUMENT, details: "etcdserver: request is too large" };
    await assert.rejects(put(Math.floor(1.6 * MIB)), tooLarge);
    await assert.rejects(put(2.5 * MIB), { code: RESOURCE_EXHAUSTED, details: /received message larger than max/i });
    assert.equal((await client.range({ key: key("a") })).kvs[0]?.value.length, 1.5 * MIB - 1024);
  });

  test("hard case 28, txn limits: four exact errors, and nothing is written", async (t) => {
    const { client, key } = await start(t);
    const before = await client.revision();
    const put = (name: string) => txnOp.put({ key: key(name) });
    const many = Array.from({ length: 129 }, (_, i) => put(String(i)));
    const refused = async (success: readonly Buffer[], text: string) =>
      assert.rejects(client.txn({ success }), { code: INVALID_ARGUMENT, details: `etcdserver: ${text}` });
    await refused(many, "too many operations in txn request");
    await refused([put("a"), put("a")], "duplicate key given in txn request");
    await refused([put("m"), txnOp.delete(key("a"), key("z"))], "duplicate key given in txn request");
    await refused([put("a"), txnOp.empty()], "key not found");
    assert.equal(await client.revision(), before);
    assert.equal((await client.txn({ success: many.slice(0, 128) })).responses.length, 128);
  });
});
