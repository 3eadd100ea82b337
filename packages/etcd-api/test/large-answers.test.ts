import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
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
  mustAnswer = false;
  taken: (() => void) | undefined;

  onTaken(done: () => void): void {
    this.taken = done;
  }

  hasChanged(): void {
    this.mustAnswer = true;
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

/** Before anything else of the event loop: work that begins in this turn has begun. */
function allMicrotasks(): Promise<void> {
  return new Promise((resolve) => {
    process.nextTick(() => {
      process.nextTick(resolve);
    });
  });
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

  test("waits some seconds for a client that does not take its answer, and lets one go on in its place, also when it comes", async (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    const { begin, begun } = createRig(5000);
    const calls = Array.from({ length: 12 }, () => begin());
    await settle();
    const late = calls.slice(0, 4);
    for (const call of late) await call.finish();
    t.mock.timers.tick(5000);
    await settle();
    assert.equal(begun(), 8);
    for (const call of late) call.taken?.();
    await settle();
    assert.equal(begun(), 8);
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
    await allMicrotasks();
    assert.equal(begun(), 3, "the third begins with less than a thousand keys before it");
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

const range = { key: "/a", end: "/b" };

/** KV over a store in which `count` keys are, and whose work of these kinds never ends. */
async function neverEnding(t: TestContext, count: number, kinds: readonly ("txn" | "range" | "fresh")[]) {
  const store = await emptyStore(t, await temporaryFolder(t));
  const begun: string[] = [];
  const times = { createRevision: revision(1), modRevision: revision(1), version: 1, lease: 0n };
  const kvs = [{ key: Buffer.from("/a"), value: Buffer.from("small"), ...times }];
  const answer = { revision: revision(1), kvs, more: false, count };
  const ends = <T>(kind: "txn" | "range" | "fresh", result: T) => {
    begun.push(kind);
    return kinds.includes(kind) ? new Promise<never>(() => undefined) : Promise.resolve(result);
  };
  t.mock.method(store, "fresh", () => ends("fresh", undefined));
  t.mock.method(store, "txn", () => ends("txn", { revision: revision(1), succeeded: true, results: [] }));
  t.mock.method(store, "range", (query: RangeQuery) =>
    query.countOnly ? Promise.resolve(answer) : ends("range", answer),
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
  const call = (path: string, request: Buffer, times: number): readonly Promise<Uint8Array>[] => {
    const method = methods.get(`/etcdserverpb.KV/${path}`);
    assert.equal(method?.kind, "unary");
    return Array.from({ length: times }, () => method.handle(request, new Call()));
  };
  return { call, begun: (kind: string) => begun.filter((each) => each === kind).length };
}

describe("KV: what reads many keys takes its turn", () => {
  const nested = txnRequest({ failure: [txnOp.range(range)] });
  for (const [what, path, request] of [
    ["a list", "Range", rangeRequest(range)],
    ["a range in a transaction", "Txn", txnRequest({ success: [txnOp.range(range)] })],
    ["a range in the other branch of a nested one", "Txn", txnRequest({ success: [txnOp.txn(nested)] })],
    ["a deletion in a transaction", "Txn", txnRequest({ success: [txnOp.delete("/a", "/b")] })],
    ["a deletion that tells what was there", "DeleteRange", deleteRequest({ ...range, prevKv: true })],
  ] as const)
    test(what, async (t) => {
      const { call, begun } = await neverEnding(t, 5000, ["txn", "range"]);
      void call(path, request, 3);
      await settle();
      assert.equal(begun("txn") + begun("range"), 1, "the first of its place is alone");
    });
});

describe("KV: nobody waits for what waits itself", () => {
  const page = rangeRequest({ ...range, limit: 500, keysOnly: true });

  test("a deletion that reads no values is at once among those that the store carries out", async (t) => {
    const { call, begun } = await neverEnding(t, 1_000_000, ["txn"]);
    void call("DeleteRange", deleteRequest(range), 6);
    await settle();
    assert.equal(begun("txn"), 6);
    await Promise.all(call("Range", page, 6));
  });

  for (const [what, path, request] of [
    ["deletions", "DeleteRange", deleteRequest({ ...range, prevKv: true })],
    ["transactions that write", "Txn", txnRequest({ success: [txnOp.range(range), txnOp.delete("/a", "/b")] })],
  ] as const)
    test(`pages do not wait for ${what} of as many keys`, async (t) => {
      const { call, begun } = await neverEnding(t, 500, ["txn"]);
      await Promise.all(call("Range", rangeRequest({ ...range, limit: 1 }), 1)); // how large the values are is known then
      void call(path, request, 6);
      await settle();
      assert.equal(begun("txn"), 6);
      await Promise.all(call("Range", page, 6));
    });

  for (const [what, path, request] of [
    ["lists", "Range", page],
    ["transactions that only read", "Txn", txnRequest({ success: [txnOp.range({ ...range, keysOnly: true })] })],
  ] as const)
    test(`pages do not wait for ${what} whose database does not say where it stands`, async (t) => {
      const { call, begun } = await neverEnding(t, 500, ["fresh"]);
      void call(path, request, 6);
      await settle();
      assert.deepEqual([begun("fresh"), begun("range"), begun("txn")], [6, 0, 0]);
      await Promise.all(call("Range", rangeRequest({ ...range, limit: 500, keysOnly: true, serializable: true }), 6));
    });
});
