import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import { nextTurn } from "@k3s/async";
import { Checkpointer } from "../src/checkpointer.ts";
import type { CheckpointResult } from "../src/worker-protocol.ts";
import { silent } from "./support/temp-store.ts";

const MIB = 1024 * 1024;

/** One whose write-backs end when they are told to. */
function checkpointer(t: TestContext) {
  const runs: PromiseWithResolvers<CheckpointResult>[] = [];
  const run = () => {
    const next = Promise.withResolvers<CheckpointResult>();
    runs.push(next);
    return next.promise;
  };
  const room = { isShort: () => Promise.resolve(false), makeRoom: () => Promise.resolve(false) };
  const one = new Checkpointer({ run, finish: run, ...room, log: silent });
  t.after(async () => {
    for (const { resolve } of runs) resolve({ busy: false, walBytes: 0 });
    await one.stop();
  });
  return { one, runs };
}

/** Whether it has resolved after some turns of the event loop. */
async function isDone(promise: Promise<unknown>): Promise<boolean> {
  let done = false;
  void promise.then(() => (done = true));
  for (let turn = 0; turn < 3; turn++) await nextTurn();
  return done;
}

describe("Checkpointer.calm()", () => {
  test("does not wait for less than one write-back, and for the one under way otherwise", async (t) => {
    const { one, runs } = checkpointer(t);
    one.note(3 * MIB);
    assert.equal(await isDone(one.calm()), true);
    one.note(3 * MIB);
    const calm = one.calm();
    assert.equal(await isDone(calm), false);
    assert.equal(runs.length, 1);
    runs[0]?.resolve({ busy: false, walBytes: 6 * MIB });
    assert.equal(await isDone(calm), true);
    assert.equal(await isDone(one.calm()), true);
    assert.equal(runs.length, 1);
  });

  test("begins none that has just failed, and goes on", async (t) => {
    const { one, runs } = checkpointer(t);
    one.note(5 * MIB);
    const calm = one.calm();
    await nextTurn();
    runs[0]?.reject(new Error("no room"));
    assert.equal(await isDone(calm), true);
    assert.equal(await isDone(one.calm()), true);
    assert.equal(runs.length, 1);
    one.note(5 * MIB);
    await nextTurn();
    assert.equal(runs.length, 2);
  });
});
