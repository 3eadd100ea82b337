import assert from "node:assert/strict";
import { test } from "node:test";
import { inParallel } from "../src/in-parallel.ts";

test("inParallel() begins as many at once as it may, in order, and keeps the order of the results", async () => {
  const begun: number[] = [];
  const gates = [0, 1, 2, 3].map(() => Promise.withResolvers<void>());
  const all = inParallel([0, 1, 2, 3], 2, async (item) => {
    begun.push(item);
    await gates[item]?.promise;
    return item * 10;
  });
  assert.deepEqual(begun, [0, 1]);
  gates[1]?.resolve();
  await gates[1]?.promise;
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(begun, [0, 1, 2]);
  for (const gate of gates) gate.resolve();
  assert.deepEqual(await all, [0, 10, 20, 30]);
});

test("inParallel() rejects with the first failure and does nothing without items", async () => {
  assert.deepEqual(await inParallel([], 4, () => Promise.reject(new Error("never asked"))), []);
  await assert.rejects(
    inParallel([1, 2], 1, (item) => Promise.reject(new Error(`failed ${item}`))),
    /failed 1/,
  );
});
