import assert from "node:assert/strict";
import { test } from "node:test";
import { modEquals, txnOp, type Kv } from "@k3s/testkit";
import { endOf, inParallel, keysBelow, putAll } from "./support/bulk.ts";
import type { CaseClient } from "./support/case-client.ts";
import { onEachServer } from "./support/each-server.ts";

const INVALID_ARGUMENT = 3;
const OUT_OF_RANGE = 11;

onEachServer((start) => {
  test("hard case 2, fresh revision: an empty store is at 1, its first key makes it 2", async (t) => {
    const { client } = await start(t, {});
    const none = await client.range({ key: "/registry/t/a" });
    assert.deepEqual([none.header.revision, none.kvs, none.count ?? 0], [1, [], 0]);
    const create = { compare: [modEquals("/registry/t/a", 0)], success: [txnOp.put({ key: "/registry/t/a" })] };
    assert.equal((await client.txn(create)).header.revision, 2);
  });

  test("hard case 3, header at old revision: old data under the current header", async (t) => {
    const { client, key } = await start(t);
    const written: number[] = [];
    for (let i = 2; i <= 10; i++) written.push((await client.put({ key: key("a"), value: `r${i}` })).header.revision);
    const old = await client.range({ key: key("a"), revision: written[1] ?? 0 });
    assert.deepEqual([old.kvs[0]?.value, old.kvs[0]?.mod], ["r3", written[1]]);
    assert.equal(old.header.revision, written.at(-1));
  });

  test("hard case 4, page walk under writes: each key of the revision once, exact counts, a true end", async (t) => {
    const { client, key } = await start(t);
    const range = { key: key(), end: endOf(key()) };
    const first = keysBelow(key("old-"), 1000);
    await putAll(client, first);
    const stop = new AbortController();
    const changes = churn(client, { keys: [...first, ...keysBelow(key("new-"), 500)], signal: stop.signal });
    const walked: Kv[] = [];
    let page = await client.range({ ...range, limit: 7 });
    const { revision } = page.header;
    const total = page.count ?? 0;
    for (;;) {
      walked.push(...page.kvs);
      assert.equal((page.count ?? 0) - page.kvs.length, total - walked.length);
      assert.equal(page.more ?? false, walked.length < total);
      if (page.more !== true) break;
      page = await client.range({ ...range, key: `${walked.at(-1)?.key}\0`, limit: 7, revision });
    }
    stop.abort();
    const expected = new Set(first);
    for (const change of await changes)
      if (change.revision <= revision) expected[change.isPut ? "add" : "delete"](change.key);
    assert.deepEqual(
      walked.map((kv) => kv.key),
      [...expected].sort(),
    );
    assert.ok(walked.every(({ mod }) => mod <= revision));
  });

  test("hard case 5, inclusive/NUL continue: both bounds by plain byte order", async (t) => {
    const { client, key } = await start(t);
    for (const name of ["ab", "a\0", "a"]) await client.put({ key: key(name) });
    const from = async (name: string, limit = 0) => {
      const { kvs, count } = await client.range({ key: key(name), end: endOf(key()), limit });
      return [kvs.map((kv) => kv.key.slice(key().length)), count];
    };
    assert.deepEqual(await from("a"), [["a", "a\0", "ab"], 3]);
    assert.deepEqual(await from("a\0"), [["a\0", "ab"], 2]);
    assert.deepEqual(await from("a\0", 1), [["a\0"], 2]);
    assert.deepEqual(await from("a\0\0"), [["ab"], 1]);
    const between = await client.range({ key: key("a"), end: key("a\0") });
    assert.deepEqual(between.kvs.length, 1);
  });

  test("hard case 6, count with limit and revision: exact before and after a delete", async (t) => {
    const { client, key } = await start(t);
    const keys = keysBelow(key(), 100);
    await putAll(client, keys);
    const removed = await client.delete({ key: keys[0] ?? "", end: keys[40] ?? "" });
    assert.equal(removed.deleted, 40);
    for (const [revision, count] of [
      [removed.header.revision - 1, 100],
      [removed.header.revision, 60],
      [0, 60],
    ] as const) {
      const answer = await client.range({ key: key(), end: endOf(key()), limit: 1, revision });
      assert.deepEqual([answer.count, answer.kvs.length, answer.more], [count, 1, true]);
    }
  });

  test("hard case 7, range edge forms: empty, reversed, open and full ranges", async (t) => {
    const { client } = await start(t, {});
    const keys = ["\x01", "/a", "/b", "\xff\xfe", "\xff\xff", "\xff\xff\x01"];
    for (const key of keys) await client.put({ key });
    const list = async (key: string, end: string) => (await client.range({ key, end })).kvs.map((kv) => kv.key);
    const emptyKey = { code: INVALID_ARGUMENT, details: "etcdserver: key is not provided" };
    await assert.rejects(client.range({ key: "" }), emptyKey);
    await assert.rejects(client.range({ key: "", end: "\0" }), emptyKey);
    assert.deepEqual(await list("/b", "/a"), []);
    assert.deepEqual(await list("/a", "/a"), []);
    assert.deepEqual(await list("/b", "\0"), ["/b", "\xff\xfe", "\xff\xff", "\xff\xff\x01"]);
    assert.deepEqual(await list("\0", "\0"), keys);
    assert.deepEqual(await list("\xff\xff", "\0"), ["\xff\xff", "\xff\xff\x01"]);
  });

  test("hard case 8, future revision: refused in etcd's words", async (t) => {
    const { client, key } = await start(t);
    const { header } = await client.put({ key: key("a") });
    await assert.rejects(client.range({ key: key("a"), revision: header.revision + 1 }), {
      code: OUT_OF_RANGE, // no client asks again after this code
      details: "etcdserver: mvcc: required revision is a future revision",
    });
  });

  test("hard case 9, compaction border: readable from the compacted revision on", async (t) => {
    const { client, key } = await start(t);
    await client.put({ key: key("gone") });
    await client.put({ key: key("kept"), value: "old" });
    await client.delete({ key: key("gone") });
    const { revision } = (await client.put({ key: key("kept"), value: "new" })).header;
    const newest = (await client.put({ key: key("late") })).header.revision;
    assert.equal((await client.compact(revision)).header.revision, newest);
    await assert.rejects(client.range({ key: key("kept"), revision: revision - 1 }), {
      code: OUT_OF_RANGE,
      details: "etcdserver: mvcc: required revision has been compacted",
    });
    const at = async (wanted: number) => {
      const { kvs } = await client.range({ key: key(), end: endOf(key()), revision: wanted });
      return kvs.map((kv) => `${kv.key.slice(key().length)}=${kv.value}`);
    };
    assert.deepEqual(await at(revision), ["kept=new"]);
    assert.deepEqual(await at(revision + 1), ["kept=new", "late="]);
  });
});

interface Change {
  readonly key: string;
  readonly isPut: boolean;
  readonly revision: number;
}

/** Creates and deletes keys until it is stopped, in an order that looks random. Resolves with everything it did. */
async function churn(
  client: CaseClient,
  { keys, signal }: { readonly keys: readonly string[]; readonly signal: AbortSignal },
): Promise<Change[]> {
  const changes: Change[] = [];
  const ROUNDS_MAX = 100_000;
  await inParallel(4, 4, async (worker) => {
    for (let round = 0; round < ROUNDS_MAX && !signal.aborted; round++) {
      const turn = worker + 4 * round;
      const key = keys[(turn * 7919) % keys.length] ?? "";
      const isPut = turn % 3 !== 0;
      const { header } = await (isPut ? client.put({ key }) : client.delete({ key }));
      changes.push({ key, isPut, revision: header.revision });
    }
  });
  return changes.toSorted((a, b) => a.revision - b.revision);
}
