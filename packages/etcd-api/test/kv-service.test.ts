import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import { onEachTransport } from "./support/api.ts";
import type { RawClient } from "@k3s/testkit";
import {
  deleteRequest,
  modEquals,
  int64Message,
  txnOp,
  putRequest,
  rangeRequest,
  readAnswer,
  txnRequest,
  type Answer,
  type PutArgs,
  type RangeArgs,
  type TxnArgs,
} from "@k3s/testkit";

const INVALID = 3;
const RESOURCE_EXHAUSTED = 8;
const OUT_OF_RANGE = 11;

/** The KV service as its clients see it. */
class Kv {
  readonly #client: RawClient;

  constructor(client: RawClient) {
    this.#client = client;
  }

  async range(args: RangeArgs) {
    return readAnswer.range(await this.#client.call("/etcdserverpb.KV/Range", rangeRequest(args)));
  }

  async put(args: PutArgs) {
    return readAnswer.put(await this.#client.call("/etcdserverpb.KV/Put", putRequest(args)));
  }

  async delete(args: Parameters<typeof deleteRequest>[0]) {
    return readAnswer.delete(await this.#client.call("/etcdserverpb.KV/DeleteRange", deleteRequest(args)));
  }

  async txn(args: TxnArgs) {
    return readAnswer.txn(await this.#client.call("/etcdserverpb.KV/Txn", txnRequest(args)));
  }

  async compact(revision: number) {
    return readAnswer.header(await this.#client.call("/etcdserverpb.KV/Compact", int64Message({ 1: revision })));
  }
}

onEachTransport((startApi) => {
  async function startKv(t: TestContext): Promise<Kv> {
    return new Kv((await startApi(t)).client);
  }

  describe("KV.Range", () => {
    test("answers a whole header, with the current revision also for an old read", async (t) => {
      const kv = await startKv(t);
      assert.equal((await kv.range({ key: "/none" })).header?.revision, 1);
      await kv.put({ key: "/a", value: "1" });
      await kv.put({ key: "/a", value: "2" });
      const { header, kvs } = await kv.range({ key: "/a", revision: 2 });
      assert.deepEqual(kvs, [{ key: "/a", create: 2, mod: 2, version: 1, value: "1", lease: 0n }]);
      assert.equal(header?.revision, 3);
      assert.ok(header.clusterId !== 0n && header.memberId !== 0n && header.raftTerm > 0);
    });

    test("pages with an exact count, from a key with a trailing zero byte on", async (t) => {
      const kv = await startKv(t);
      for (const key of ["/p/a", "/p/b", "/p/c"]) await kv.put({ key, value: key });
      const first = await kv.range({ key: "/p/", end: "/p0", limit: 2 });
      assert.deepEqual([first.kvs.map(({ key }) => key), first.more, first.count], [["/p/a", "/p/b"], true, 3]);
      const second = await kv.range({ key: "/p/b\0", end: "/p0", limit: 2, revision: first.header?.revision ?? 0 });
      assert.deepEqual([second.kvs.map(({ key }) => key), second.more, second.count], [["/p/c"], undefined, 1]);
    });

    test("leaves values out for keysOnly and everything for countOnly", async (t) => {
      const kv = await startKv(t);
      await kv.put({ key: "/a", value: "x" });
      await kv.put({ key: "/a", value: "y" });
      const keys = await kv.range({ key: "/a", keysOnly: true });
      assert.deepEqual(keys.kvs, [{ key: "/a", create: 2, mod: 3, version: 2, value: "", lease: 0n }]);
      const count = await kv.range({ key: "/", end: "0", countOnly: true, limit: 1 });
      assert.deepEqual([count.kvs, count.count, count.more], [[], 1, undefined]);
    });

    test("sorts by any target", async (t) => {
      const kv = await startKv(t);
      await kv.put({ key: "/1", value: "z" });
      await kv.put({ key: "/2", value: "a" });
      await kv.put({ key: "/1", value: "z" });
      const order = async (sort: [number, number]) => {
        const { kvs } = await kv.range({ key: "/", end: "0", sort });
        return kvs.map(({ key }) => key).join();
      };
      assert.equal(await order([2, 0]), "/2,/1"); // keys, descending
      assert.equal(await order([1, 3]), "/2,/1"); // mod, ascending
      assert.equal(await order([0, 1]), "/2,/1"); // version without an order: ascending
      assert.equal(await order([2, 4]), "/1,/2"); // value, descending
      await assert.rejects(order([1, 9]), { code: INVALID, details: "etcdserver: invalid sort option" });
    });

    test("refuses compacted, future and empty reads in etcd's words", async (t) => {
      const kv = await startKv(t);
      for (const value of ["1", "2", "3"]) await kv.put({ key: "/a", value });
      assert.equal((await kv.compact(3)).header?.revision, 4);
      assert.equal((await kv.range({ key: "/a", revision: 3 })).kvs[0]?.value, "2");
      const cases = [
        [{ key: "/a", revision: 2 }, OUT_OF_RANGE, "etcdserver: mvcc: required revision has been compacted"],
        [{ key: "/a", revision: 5 }, OUT_OF_RANGE, "etcdserver: mvcc: required revision is a future revision"],
        [{ key: "" }, INVALID, "etcdserver: key is not provided"],
      ] as const;
      for (const [args, code, details] of cases) await assert.rejects(kv.range(args), { code, details });
      await assert.rejects(kv.compact(3), { code: OUT_OF_RANGE });
      await assert.rejects(kv.compact(99), { code: OUT_OF_RANGE });
    });

    test("delivers an answer larger than any default limit", async (t) => {
      const kv = await startKv(t);
      const value = "v".repeat(1 << 20);
      for (let i = 0; i < 12; i++) await kv.put({ key: `/big/${i}`, value });
      const { kvs } = await kv.range({ key: "/big/", end: "/big0" });
      assert.deepEqual([kvs.length, kvs.every((one) => one.value === value)], [12, true]);
    });
  });

  describe("KV.Put and KV.DeleteRange", () => {
    test("give previous versions when asked", async (t) => {
      const kv = await startKv(t);
      assert.equal((await kv.put({ key: "/a", value: "1", prevKv: true })).prevKv, undefined);
      assert.equal((await kv.put({ key: "/a", value: "2", prevKv: true })).prevKv?.value, "1");
      await kv.put({ key: "/b", value: "3" });
      const deleted = await kv.delete({ key: "/", end: "0", prevKv: true });
      assert.deepEqual([deleted.deleted, deleted.kvs.map(({ value }) => value)], [2, ["2", "3"]]);
      assert.ok((deleted.header?.revision ?? 0) > 4);
      assert.equal((await kv.delete({ key: "/a" })).header?.revision, deleted.header?.revision);
    });

    test("keep value or lease when told to, and refuse contradictions", async (t) => {
      const kv = await startKv(t);
      await kv.put({ key: "/a", value: "1" });
      await kv.put({ key: "/a", ignoreValue: true });
      const { kvs } = await kv.range({ key: "/a" });
      assert.deepEqual([kvs[0]?.value, kvs[0]?.version], ["1", 2]);
      const cases = [
        [{ key: "/a", value: "x", ignoreValue: true }, "value is provided"],
        [{ key: "/a", lease: 5n, ignoreLease: true }, "lease is provided"],
        [{ key: "/none", ignoreValue: true }, "key not found"],
        [{ key: "" }, "key is not provided"],
      ] as const;
      for (const [args, text] of cases)
        await assert.rejects(kv.put(args), { code: INVALID, details: `etcdserver: ${text}` });
      await assert.rejects(kv.put({ key: "/a", lease: 5n }), {
        code: 5,
        details: "etcdserver: requested lease not found",
      });
    });

    test("limit the size of a request as etcd does, and the connection survives", async (t) => {
      const kv = await startKv(t);
      const size = (bytes: number) => ({ key: "/a", value: "x".repeat(bytes) });
      await kv.put(size(1_572_864 - 1024));
      await assert.rejects(kv.put(size(1_600_000)), { code: INVALID, details: "etcdserver: request is too large" });
      await assert.rejects(kv.txn({ success: [txnOp.put(size(1_600_000))] }), { code: INVALID });
      await assert.rejects(kv.put(size(2_500_000)), { code: RESOURCE_EXHAUSTED });
      assert.equal((await kv.put({ key: "/a", value: "small" })).header?.revision, 3);
    });
  });

  describe("KV.Txn", () => {
    test("creates when the key is not there, and else answers the failure branch", async (t) => {
      const kv = await startKv(t);
      const create = { compare: [modEquals("/a", 0)], success: [txnOp.put({ key: "/a", value: "1" })] };
      assert.deepEqual(brief(await kv.txn(create)), {
        succeeded: true,
        revision: 2,
        inner: 2,
        kv: undefined,
        deleted: 0,
      });
      const again = await kv.txn(create);
      assert.deepEqual([again.succeeded, again.responses, again.header?.revision], [undefined, [], 2]);
    });

    test("updates the version it compared with, and else answers the newer one", async (t) => {
      const kv = await startKv(t);
      await kv.put({ key: "/a", value: "1" });
      const update = (rev: number) => ({
        compare: [modEquals("/a", rev)],
        success: [txnOp.put({ key: "/a", value: "2" })],
        failure: [txnOp.range({ key: "/a" })],
      });
      assert.deepEqual(brief(await kv.txn(update(9))), { succeeded: false, revision: 2, inner: 2, kv: 2, deleted: 0 });
      assert.deepEqual(brief(await kv.txn(update(2))), {
        succeeded: true,
        revision: 3,
        inner: 3,
        kv: undefined,
        deleted: 0,
      });
    });

    test("deletes the version it compared with; a missing key has revision 0", async (t) => {
      const kv = await startKv(t);
      await kv.put({ key: "/a", value: "1" });
      const remove = (rev: number) => ({
        compare: [modEquals("/a", rev)],
        success: [txnOp.delete("/a")],
        failure: [txnOp.range({ key: "/a" })],
      });
      const none = { inner: 3, kv: undefined, deleted: 0 };
      assert.deepEqual(brief(await kv.txn(remove(2))), { ...none, succeeded: true, revision: 3, deleted: 1 });
      assert.deepEqual(brief(await kv.txn(remove(2))), { ...none, succeeded: false, revision: 3 });
      assert.deepEqual(brief(await kv.txn(remove(0))), { ...none, succeeded: true, revision: 3 });
    });

    test("runs many operations as one revision, each seeing those before", async (t) => {
      const kv = await startKv(t);
      await kv.put({ key: "/c", value: "old" });
      const inner = txnRequest({ compare: [modEquals("/none", 0)], success: [txnOp.put({ key: "/d", value: "4" })] });
      const answer = await kv.txn({
        success: [
          txnOp.put({ key: "/a", value: "1" }),
          txnOp.range({ key: "/a" }),
          txnOp.delete("/c"),
          txnOp.txn(inner),
        ],
      });
      const [, range, deleted, nested] = answer.responses;
      assert.deepEqual(
        [range?.kvs[0]?.value, deleted?.deleted, nested?.succeeded, nested?.responses.length, answer.header?.revision],
        ["1", 1, true, 1, answer.responses[0]?.header?.revision],
      );
      const { kvs } = await kv.range({ key: "/", end: "0" });
      assert.deepEqual(
        kvs.map(({ key, mod }) => [key, mod === answer.header?.revision]),
        [
          ["/a", true],
          ["/d", true],
        ],
      );
    });

    test("refuses in etcd's words what is not allowed, and writes nothing", async (t) => {
      const kv = await startKv(t);
      const put = (key: string) => txnOp.put({ key, value: "x" });
      const nest = (depth: number): Buffer =>
        txnRequest({ success: [depth === 0 ? put("/deep") : txnOp.txn(nest(depth - 1))] });
      const cases: readonly (readonly [TxnArgs, string])[] = [
        [{ success: Array.from({ length: 129 }, (_, i) => put(`/k${i}`)) }, "too many operations in txn request"],
        [{ success: [txnOp.txn(nest(1000))] }, "too many operations in txn request"],
        [{ success: [put("/a"), put("/a")] }, "duplicate key given in txn request"],
        [{ failure: [put("/a"), txnOp.delete("/a")] }, "duplicate key given in txn request"],
        [{ success: [put("/a"), txnOp.empty()] }, "key not found"],
        [{ success: [put("")] }, "key is not provided"],
        [{ compare: [modEquals("", 0)], success: [put("/a")] }, "key is not provided"],
      ];
      for (const [args, text] of cases)
        await assert.rejects(kv.txn(args), { code: INVALID, details: `etcdserver: ${text}` }, text);
      assert.equal((await kv.range({ key: "/", end: "0" })).header?.revision, 1);
      assert.equal((await kv.txn({ success: [txnOp.txn(nest(100))] })).header?.revision, 2);
    });
  });
});

/** What the tests compare of a transaction with one operation. */
function brief({ succeeded = false, header, responses: [first] }: Answer) {
  const inner = first?.header?.revision;
  return { succeeded, revision: header?.revision, inner, kv: first?.kvs[0]?.mod, deleted: first?.deleted ?? 0 };
}
