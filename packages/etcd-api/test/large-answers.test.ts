import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { RangeQuery, RangeResult } from "@k3s/datastore";
import { revision } from "@k3s/datastore";
import { LargeAnswers } from "../src/large-answers.ts";

const all: RangeQuery = {
  key: Buffer.from("/a"),
  rangeEnd: Buffer.from("/b"),
  limit: 0,
  revision: 0,
  keysOnly: false,
  countOnly: false,
};

/** A gate before a store with so many keys, and calls whose work ends when the test says so. */
function createRig(count: number) {
  const result: RangeResult = { revision: revision(2), kvs: [], more: true, count };
  const large = new LargeAnswers({ range: () => Promise.resolve(result) });
  const calls: Call[] = [];
  const begin = (query = all) => {
    const call = new Call();
    calls.push(call);
    call.answered = large.run(query, call, () => {
      call.hasBegun = true;
      return call.work.promise;
    });
    return call;
  };
  return { begin, begun: () => calls.filter(({ hasBegun }) => hasBegun).length };
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

const settle = () => new Promise((resolve) => setImmediate(resolve));

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
    const small = createRig(1000);
    for (let i = 0; i < 20; i++) small.begin();
    await settle();
    assert.equal(small.begun(), 20);
  });
});
