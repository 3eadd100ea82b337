import assert from "node:assert/strict";
import { test } from "node:test";
import { compare, modEquals, txnOp, txnRequest, type Answer, type CompareArgs } from "@k3s/testkit";
import type { CaseClient } from "./support/case-client.ts";
import { onEachServer } from "./support/each-server.ts";
import { refuses } from "./support/expect.ts";

/** The transactions of kube-apiserver. */
const kube = {
  create: (key: string, value: string) => ({ compare: [modEquals(key, 0)], success: [txnOp.put({ key, value })] }),
  update: (key: string, revision: number, value: string) => ({
    compare: [modEquals(key, revision)],
    success: [txnOp.put({ key, value })],
    failure: [txnOp.range({ key })],
  }),
  delete: (key: string, revision: number) => ({
    compare: [modEquals(key, revision)],
    success: [txnOp.delete(key)],
    failure: [txnOp.range({ key })],
  }),
};

const COMPACT_KEY = "compact_rev_key";

/** One round of the API servers' contest for the right to compact. */
function compactRound(client: CaseClient, version: number, value: string) {
  return client.txn({
    compare: [compare({ key: COMPACT_KEY, target: "version", value: version })],
    success: [txnOp.put({ key: COMPACT_KEY, value })],
    failure: [txnOp.range({ key: COMPACT_KEY })],
  });
}

/** What a loser learns: version and value of the winner. */
function winnerIn({ succeeded, responses: [read] }: Answer): unknown {
  return succeeded === true ? "won" : [read?.kvs[0]?.version, read?.kvs[0]?.value];
}

onEachServer((start) => {
  test("P14 create, update: results as in etcd, nested header revisions included", async (t) => {
    const { client, key } = await start(t);
    const before = await client.revision();
    const created = await client.txn(kube.create(key("a"), "1"));
    const first = before + 1;
    assert.deepEqual([created.succeeded, created.header.revision], [true, first]);
    assert.deepEqual([created.responses.length, created.responses[0]?.header?.revision], [1, first]);
    const again = await client.txn(kube.create(key("a"), "2"));
    assert.deepEqual([again.succeeded ?? false, again.header.revision, again.responses], [false, first, []]);

    const updated = await client.txn(kube.update(key("a"), first, "2"));
    assert.deepEqual([updated.succeeded, updated.header.revision], [true, first + 1]);
    assert.equal(updated.responses[0]?.header?.revision, first + 1);
    await client.put({ key: key("other") });
    const late = await client.txn(kube.update(key("a"), first, "3"));
    assert.deepEqual([late.succeeded ?? false, late.header.revision], [false, first + 2]);
    assert.equal(late.responses[0]?.header?.revision, first + 2);
    assert.deepEqual(late.responses[0].kvs, [
      { key: key("a"), create: first, mod: first + 1, version: 2, value: "2", lease: 0n },
    ]);
  });

  test("P14 delete: results as in etcd, nested header revisions included", async (t) => {
    const { client, key } = await start(t);
    const { header } = await client.put({ key: key("a"), value: "1" });
    const { revision } = header;
    const wrong = await client.txn(kube.delete(key("a"), revision - 1));
    assert.deepEqual([wrong.succeeded ?? false, wrong.responses[0]?.kvs[0]?.mod], [false, revision]);
    const deleted = await client.txn(kube.delete(key("a"), revision));
    assert.deepEqual([deleted.succeeded, deleted.header.revision], [true, revision + 1]);
    const [result] = deleted.responses;
    assert.deepEqual([result?.deleted, result?.header?.revision, result?.kvs], [1, revision + 1, []]);
  });

  test("P14 ranges, and deletions of nothing, tell the revision of what they show: that before until something changes", async (t) => {
    const { client, key } = await start(t);
    const { header } = await client.put({ key: key("a"), value: "1" });
    const before = header.revision;
    const read = txnOp.range({ key: key("a") });
    const nothing = txnOp.delete(key("none"));
    const write = txnOp.put({ key: key("a"), value: "2" });
    const { responses } = await client.txn({ success: [read, nothing, write, read, nothing] });
    assert.deepEqual(
      responses.map((answer) => answer.header?.revision),
      [before, before, before + 1, before + 1, before + 1],
    );
    assert.deepEqual([responses[0]?.kvs[0]?.mod, responses[3]?.kvs[0]?.mod], [before, before + 1]);
  });

  test("P15 delete of a missing key: failed with an empty range, or succeeded without a new revision", async (t) => {
    const { client, key } = await start(t);
    const { header } = await client.put({ key: key("a") });
    await client.delete({ key: key("a") });
    const before = header.revision + 1;
    for (const name of ["a", "never"]) {
      const failed = await client.txn(kube.delete(key(name), 5));
      assert.deepEqual([failed.succeeded ?? false, failed.header.revision], [false, before]);
      assert.deepEqual([failed.responses[0]?.kvs, failed.responses[0]?.count ?? 0], [[], 0]);
      const done = await client.txn(kube.delete(key(name), 0));
      assert.deepEqual([done.succeeded, done.header.revision], [true, before]);
      assert.deepEqual([done.responses[0]?.deleted ?? 0, done.responses[0]?.header?.revision], [0, before]);
    }
  });

  test("P16 put and delete without else: accepted", async (t) => {
    const { client, key } = await start(t);
    const put = (revision: number, value: string) =>
      client.txn({ compare: [modEquals(key("a"), revision)], success: [txnOp.put({ key: key("a"), value })] });
    const created = await put(0, "1");
    assert.equal((await put(created.header.revision, "2")).succeeded, true);
    const refused = await put(created.header.revision, "3");
    assert.deepEqual([refused.succeeded ?? false, refused.responses], [false, []]);
    const { kvs } = await client.range({ key: key("a") });
    assert.equal(kvs[0]?.value, "2");
    const remove = (revision: number) =>
      client.txn({ compare: [modEquals(key("a"), revision)], success: [txnOp.delete(key("a"))] });
    assert.equal((await remove(created.header.revision)).succeeded ?? false, false);
    assert.equal((await remove(kvs[0]?.mod ?? 0)).succeeded, true);
  });

  test("P17 every compare target and result, also of ranges: as etcd", async (t) => {
    const { client, key } = await start(t);
    const { id } = await client.grant(60);
    const { header } = await client.put({ key: key("a"), value: "m" });
    await client.put({ key: key("a"), value: "m", lease: id });
    await client.put({ key: key("b"), value: "n" });
    const first = header.revision;
    const holds = async (args: CompareArgs) => (await client.txn({ compare: [compare(args)] })).succeeded ?? false;
    const equals = { version: 2, create: first, mod: first + 1, value: "m", lease: id };
    const below = { version: 1, create: first - 1, mod: first, value: "l", lease: id - 1n };
    const above = { version: 3, create: first + 1, mod: first + 2, value: "ma", lease: id + 1n };
    for (const target of ["version", "create", "mod", "value", "lease"] as const)
      for (const [values, truth] of [
        [below, { equal: false, greater: true, less: false, notEqual: true }],
        [equals, { equal: true, greater: false, less: false, notEqual: false }],
        [above, { equal: false, greater: false, less: true, notEqual: true }],
      ] as const)
        for (const result of ["equal", "greater", "less", "notEqual"] as const) {
          const args = { key: key("a"), target, result, value: values[target] };
          assert.equal(await holds(args), truth[result], `${target} ${result} ${values[target]}`);
        }

    const missing = { key: key("none"), value: 0 };
    for (const target of ["version", "create", "mod", "lease"] as const) assert.ok(await holds({ ...missing, target }));
    for (const result of ["equal", "notEqual", "less", "greater"] as const)
      assert.equal(await holds({ key: key("none"), target: "value", result, value: "" }), false);

    const all = { key: key(), end: key("\xff") };
    assert.equal(await holds({ ...all, target: "create", result: "greater", value: first - 1 }), true);
    assert.equal(await holds({ ...all, target: "create", result: "equal", value: first }), false);
    assert.equal(await holds({ ...all, target: "value", result: "less", value: "o" }), true);
    const empty = { key: key("x"), end: key("y") };
    assert.equal(await holds({ ...empty, target: "version", result: "equal", value: 0 }), true);
    assert.equal(await holds({ ...empty, target: "version", result: "greater", value: 0 }), false);
  });

  test("P17 general and nested transactions: one revision, reads see the writes before them", async (t) => {
    const { client, differs, key } = await start(t);
    const { header } = await client.put({ key: key("c"), value: "old" });
    const watch = client.watch();
    await watch.create({ key: key(), end: key("\xff"), prevKv: true });
    const inner = {
      compare: [compare({ key: key("c"), target: "value", value: "old" })],
      success: [txnOp.put({ key: key("d"), value: "inner" }), txnOp.range({ key: key(), end: key("\xff") })],
    };
    const result = await client.txn({
      success: [
        txnOp.put({ key: key("a"), value: "1" }),
        txnOp.range({ key: key("a") }),
        txnOp.put({ key: key("b"), value: "2" }),
        txnOp.delete(key("c")),
        txnOp.txn(txnRequest(inner)),
      ],
    });
    const step = differs("revision per write") ? 4 : 1;
    const revision = header.revision + step;
    assert.deepEqual([result.succeeded, result.header.revision], [true, revision]);
    const [, read, , deleted, nested] = result.responses;
    const valuesOf = (response: Answer | undefined) => response?.kvs.map(({ value, mod }) => [value, mod]);
    assert.deepEqual([valuesOf(read), deleted?.deleted], [[["1", revision]], 1]);
    assert.equal(nested?.succeeded, true);
    assert.deepEqual(
      valuesOf(nested.responses[1]),
      ["1", "2", "inner"].map((value) => [value, revision]),
    );
    for (const response of result.responses.slice(0, 4)) assert.equal(response.header?.revision, revision);
    if (!differs("nested transaction without header")) assert.equal(nested.header?.revision, revision);
    const events = await watch.take("events");
    assert.deepEqual(
      events.events.map(({ type, kv }) => [type, kv?.key.slice(key().length), kv?.mod]),
      [
        ["put", "a", revision],
        ["put", "b", revision],
        ["delete", "c", revision],
        ["put", "d", revision],
      ],
    );
    const next = await client.put({ key: key("e") });
    assert.equal(next.header.revision, revision + 1);
  });

  test("P18 duplicate key, more than 128 operations, empty operation: exact errors, nothing written", async (t) => {
    const { client, key } = await start(t);
    const before = await client.revision();
    const put = (name: string) => txnOp.put({ key: key(name), value: "1" });
    const refused = (args: Parameters<CaseClient["txn"]>[0], text: string) =>
      refuses(client.txn(args), "INVALID_ARGUMENT", `etcdserver: ${text}`);

    const duplicate = "duplicate key given in txn request";
    await refused({ success: [put("a"), put("a")] }, duplicate);
    await refused({ failure: [put("a"), put("b"), put("a")] }, duplicate);
    await refused({ success: [put("a"), txnOp.delete(key("a"))] }, duplicate);
    await refused({ success: [txnOp.delete(key(), key("\xff")), put("a")] }, duplicate);
    await refused({ success: [put("a"), txnOp.txn(txnRequest({ success: [put("a")] }))] }, duplicate);

    const tooMany = "too many operations in txn request";
    const puts = Array.from({ length: 129 }, (_, i) => put(`${i}`));
    const compares = Array.from({ length: 129 }, () => modEquals(key("a"), 0));
    await refused({ success: puts }, tooMany);
    await refused({ failure: puts }, tooMany);
    await refused({ compare: compares, success: [put("a")] }, tooMany);
    // A nested list takes what its parent left.
    const nested = (count: number) =>
      txnOp.txn(txnRequest({ success: Array.from({ length: count }, () => txnOp.range({ key: key("a") })) }));
    await refused({ success: [...puts.slice(0, 100), nested(28)] }, tooMany);
    await refused({ failure: [...puts.slice(0, 100), nested(100)] }, tooMany);
    await refused({ success: [txnOp.empty()] }, "key not found");
    await refused({ success: [put("")].slice(1), compare: [modEquals("", 0)] }, "key is not provided");
    await refused({ success: [txnOp.put({ key: "" })] }, "key is not provided");
    assert.equal(await client.revision(), before);
    assert.deepEqual((await client.range({ key: key(), end: key("\xff") })).kvs, []);

    const most = await client.txn({ compare: compares.slice(1), success: puts.slice(1) });
    assert.deepEqual([most.succeeded, most.responses.length], [true, 128]);
    const left = await client.txn({ success: [...puts.slice(0, 100), nested(27)] });
    assert.deepEqual([left.succeeded, left.responses.length], [true, 101]);
    const both = { success: [put("x")], failure: [put("x")] };
    assert.equal((await client.txn(both)).succeeded, true);
    const deletes = { success: [txnOp.delete(key("x")), txnOp.delete(key("x"))] };
    assert.equal((await client.txn(deletes)).succeeded, true);
  });

  test("P19, P20 compaction lock: the loser gets version and value; the version counts on, also over a restart", async (t) => {
    const { connect, server } = await start(t, {});
    let client = connect();
    for (let round = 0; round < 3; round++) {
      const value = `${100 + round}`;
      const won = await compactRound(client, round, value);
      assert.deepEqual([won.succeeded, won.responses.length], [true, 1], `round ${round}`);
      for (const version of [0, round, round + 7]) {
        const lost = await compactRound(client, version, "lost");
        assert.deepEqual(winnerIn(lost), [round + 1, value]);
      }
      if (round === 1) await server.restart("SIGKILL");
      if (round === 1) client = connect();
    }
    await client.compact(await client.revision());
    await server.restart("SIGTERM");
    const lost = await compactRound(connect(), 2, "lost");
    assert.deepEqual(winnerIn(lost), [3, "102"]);
  });

  test("P21 Put: prev_kv, ignore_value, ignore_lease", async (t) => {
    const { client, key } = await start(t);
    const { id } = await client.grant(60);
    const first = await client.put({ key: key("a"), value: "1", lease: id, prevKv: true });
    assert.equal(first.prevKv, undefined);
    const second = await client.put({ key: key("a"), value: "2", lease: id, prevKv: true });
    const { revision } = first.header;
    assert.deepEqual(second.prevKv, {
      key: key("a"),
      create: revision,
      mod: revision,
      version: 1,
      value: "1",
      lease: id,
    });
    assert.equal((await client.put({ key: key("a"), value: "3", ignoreLease: true })).prevKv, undefined);
    await client.put({ key: key("a"), ignoreValue: true, ignoreLease: true });
    const read = async () => (await client.range({ key: key("a") })).kvs.map((kv) => [kv.value, kv.lease, kv.version]);
    assert.deepEqual(await read(), [["3", id, 4]]);
    await client.put({ key: key("a"), ignoreValue: true });
    assert.deepEqual(await read(), [["3", 0n, 5]]);

    const refused = (args: Parameters<CaseClient["put"]>[0], text: string) =>
      refuses(client.put(args), "INVALID_ARGUMENT", `etcdserver: ${text}`);
    await refused({ key: "" }, "key is not provided");
    await refused({ key: key("a"), value: "x", ignoreValue: true }, "value is provided");
    await refused({ key: key("a"), lease: id, ignoreLease: true }, "lease is provided");
    await refused({ key: key("none"), ignoreValue: true }, "key not found");
    await refused({ key: key("none"), ignoreLease: true }, "key not found");
    await refuses(client.delete({ key: "" }), "INVALID_ARGUMENT", "etcdserver: key is not provided");
  });

  test("P21 DeleteRange: what it deleted, and prev_kv on request", async (t) => {
    const { client, key } = await start(t);
    for (const name of ["b", "c", "d"]) await client.put({ key: key(name), value: name });
    const range = await client.delete({ key: key("b"), end: key("d"), prevKv: true });
    assert.deepEqual([range.deleted, range.kvs.map(({ value }) => value)], [2, ["b", "c"]]);
    const silent = await client.delete({ key: key("d") });
    assert.deepEqual([silent.deleted, silent.kvs], [1, []]);
    const nothing = await client.delete({ key: key("d"), prevKv: true });
    assert.deepEqual([nothing.deleted ?? 0, nothing.kvs, nothing.header.revision], [0, [], silent.header.revision]);
    const again = await client.put({ key: key("d"), prevKv: true });
    assert.equal(again.prevKv, undefined);
    const [recreated] = (await client.range({ key: key("d") })).kvs;
    assert.deepEqual([recreated?.version, recreated?.create], [1, again.header.revision]);
  });
});
