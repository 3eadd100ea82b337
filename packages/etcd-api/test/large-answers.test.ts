import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { nextTurn } from "@k3s/async";
import type { RangeQuery, RangeResult } from "@k3s/datastore";
import { revision } from "@k3s/datastore";
import { deleteRequest, rangeRequest, txnOp, txnRequest } from "@k3s/testkit";
import { kvService } from "../src/kv-service.ts";
import { LargeAnswers } from "../src/large-answers.ts";
import { emptyStore, quietLog, temporaryFolder } from "./support/api.ts";
import { Backlog } from "../src/backlog.ts";

const all: RangeQuery = {
  key: Buffer.from("/a"),
  rangeEnd: Buffer.from("/b"),
  limit: 0,
  revision: 0,
  keysOnly: false,
  countOnly: false,
};

/** A gate before a store with so many keys, and calls whose work ends when the test says so. */
function createRig(count: number, valueBytes = 1000) {
  const result: RangeResult = { revision: revision(2), kvs: [], more: true, count };
  const large = new LargeAnswers({ range: () => Promise.resolve(result) });
  large.note(all, 1000, 1000 * valueBytes);
  const calls: Call[] = [];
  const begin = (...queries: readonly RangeQuery[]) => {
    const call = new Call();
    calls.push(call);
    call.answered = large.run(queries.length === 0 ? [all] : queries, call, () => {
      call.hasBegun = true;
      return call.work.promise;
    });
    return call;
  };
  return { large, begin, begun: () => calls.filter(({ hasBegun }) => hasBegun).length };
}

class Call {
  isOver = false;
  hasBegun = false;
  readonly work = Promise.withResolvers<string>();
  answered: Promise<string> = this.work.promise;
  taken: (() => void) | undefined;

  onTaken(done: () => void): void {
    this.taken = done;
  }

  async finish(): Promise<void> {
    this.work.resolve("answer");
    await this.answered;
  }
}

/** Turns enough for all that may begin. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 4; turn++) await nextTurn();
}

describe("LargeAnswers", () => {
  test("lets four run at a time, the next one once an answer was taken", async () => {
    const { begin, begun } = createRig(5000);
    const calls = Array.from({ length: 7 }, () => begin());
    await settle();
    assert.equal(begun(), 4);
    const [first, second] = calls;
    await first?.finish();
    await settle();
    assert.equal(begun(), 4); // its answer still waits for the client
    first?.taken?.();
    await settle();
    assert.equal(begun(), 5);
    second?.work.reject(new Error("broken"));
    await assert.rejects(second?.answered ?? Promise.resolve(), /broken/);
    await settle();
    assert.equal(begun(), 6);
    for (const call of calls.slice(2)) {
      await call.finish();
      call.taken?.();
    }
    assert.equal(begun(), 7);
  });

  test("drops what nobody waits for any more without running it", async () => {
    const { begin, begun } = createRig(5000);
    const calls = Array.from({ length: 6 }, () => begin());
    await settle();
    const [first, , , , late, last] = calls;
    if (late !== undefined) late.isOver = true;
    const dropped = assert.rejects(late?.answered ?? Promise.resolve(), { code: 1 });
    await first?.finish();
    first?.taken?.();
    await dropped;
    await settle();
    assert.deepEqual([begun(), late?.hasBegun, last?.hasBegun], [5, false, true]);
  });

  test("makes small answers, single keys, pages and counts wait for nobody", async () => {
    const { begin } = createRig(5000);
    for (let i = 0; i < 5; i++) begin();
    const quick = [
      begin({ ...all, rangeEnd: Buffer.alloc(0) }),
      begin({ ...all, limit: 500 }),
      begin({ ...all, countOnly: true }),
    ];
    for (const call of quick) await call.finish();
    for (let i = 0; i < 5; i++) begin({ ...all, limit: 5000, countOnly: true });
    const small = createRig(64);
    for (let i = 0; i < 20; i++) small.begin();
    await settle();
    assert.equal(small.begun(), 20);
  });

  test("lets pages take turns: four at a time, a thousand keys in one turn of the event loop", async () => {
    const { begin, begun } = createRig(400);
    const calls = Array.from({ length: 9 }, () => begin());
    await Promise.resolve();
    await Promise.resolve();
    assert.ok(begun() <= 3, `${begun()} have begun`); // the third begins with less than a thousand keys before it
    await settle();
    assert.equal(begun(), 4);
    const [first, second, third, ...others] = calls;
    await first?.finish(); // nobody has to take the answer
    second?.work.reject(new Error("broken"));
    await assert.rejects(second?.answered ?? Promise.resolve(), /broken/);
    await settle();
    assert.equal(begun(), 6);
    const late = others.at(-1);
    if (late !== undefined) late.isOver = true;
    const dropped = assert.rejects(late?.answered ?? Promise.resolve(), { code: 1 });
    await third?.finish();
    for (const call of others.slice(0, -1)) {
      await settle();
      await call.finish();
    }
    await dropped;
    assert.deepEqual([begun(), late?.hasBegun], [8, false]);
  });

  test("counts the bytes of a page, as earlier answers from there had them", async () => {
    const { large, begin, begun } = createRig(5000, 400_000);
    const page = { ...all, limit: 500 };
    for (let i = 0; i < 3; i++) begin(page); // 200 MB each
    await settle();
    assert.equal(begun(), 1);
    const [other, few, keys] = [
      { ...page, key: Buffer.from("/other/kind/x") },
      { ...all, limit: 30 },
      { ...page, keysOnly: true },
    ];
    for (let i = 0; i < 3; i++) {
      begin(few);
      begin(keys);
    }
    await settle();
    assert.equal(begun(), 7);
    begin(other);
    await settle();
    assert.equal(begun(), 7, "nothing is known of others yet");
    large.note(other, 100, 100_000);
    begin(other);
    await settle();
    assert.equal(begun(), 8);
  });

  test("counts all of a range that is sorted or filtered, whatever its limit", async () => {
    for (const query of [
      { ...all, limit: 1, sort: { target: "mod", descending: true } } as const,
      { ...all, limit: 1, minModRevision: 5 },
    ]) {
      const { begin, begun } = createRig(5000);
      for (let i = 0; i < 6; i++) begin(query);
      await settle();
      assert.equal(begun(), 4);
    }
  });

  test("adds up the ranges of one transaction", async () => {
    const { begin, begun } = createRig(600);
    for (let i = 0; i < 6; i++) begin(all, all);
    await settle();
    assert.equal(begun(), 4);
    for (let i = 0; i < 6; i++) begin(all);
    await settle();
    assert.equal(begun(), 8, "they are pages, which only take turns");
  });

  test("lets an answer run alone that is larger than all at once may be", async () => {
    const { begin, begun } = createRig(5000, 1_000_000);
    const [first] = [begin(), begin()];
    await settle();
    assert.equal(begun(), 1);
    await first?.finish();
    first?.taken?.();
    await settle();
    assert.equal(begun(), 2);
  });
});

describe("KV: what reads many keys takes its turn", () => {
  const range = { key: "/a", end: "/b" };
  const nested = txnRequest({ failure: [txnOp.range(range)] });
  for (const [what, path, request] of [
    ["a list", "Range", rangeRequest(range)],
    ["a range in a transaction", "Txn", txnRequest({ success: [txnOp.range(range)] })],
    ["a range in the other branch of a nested one", "Txn", txnRequest({ success: [txnOp.txn(nested)] })],
    ["a deletion in a transaction", "Txn", txnRequest({ success: [txnOp.delete("/a", "/b")] })],
    ["a deletion", "DeleteRange", deleteRequest(range)],
  ] as const)
    test(what, async (t) => {
      const store = await emptyStore(t, await temporaryFolder(t));
      const never = new Promise<never>(() => undefined);
      let begun = 0;
      const begin = () => {
        begun++;
        return never;
      };
      t.mock.method(store, "txn", begin);
      t.mock.method(store, "range", (query: RangeQuery) =>
        query.countOnly ? Promise.resolve({ revision: revision(1), kvs: [], more: false, count: 5000 }) : begin(),
      );
      const methods = new Map(
        kvService({
          store,
          log: quietLog,
          signal: new AbortController().signal,
          member: { name: "node1", peerUrls: [], clientUrls: [] },
          progressIntervalMs: 1000,
          watchBacklogBytes: 1,
          backlog: new Backlog(1),
          header: () => ({ clusterId: 1n, memberId: 1n, revision: 1, raftTerm: 1 }),
        }),
      );
      const method = methods.get(`/etcdserverpb.KV/${path}`);
      assert.equal(method?.kind, "unary");
      for (let i = 0; i < 3; i++) void method.handle(request, new Call());
      await settle();
      assert.equal(begun, 1, "the first of its place is alone");
    });
});
