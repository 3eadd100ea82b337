import assert from "node:assert/strict";
import { syncBuiltinESMExports } from "node:module";
import { after, before, mock, test } from "node:test";
import { ValueCache } from "../src/value-cache.ts";

const MANY_ROWS = Array.from({ length: 10_000 }, (_, i) => i + 1);

/** Loaded in this process in place of the native add-on: what it gives back nobody can see. */
const releaseFree = mock.fn<() => void>();
const dlopen = mock.method(process, "dlopen", (module: { exports: unknown }) => {
  module.exports = { releaseFree };
});
before(syncBuiltinESMExports); // what is imported by name follows
after(() => {
  dlopen.mock.restore();
  syncBuiltinESMExports();
});

function emptyCache(): ValueCache {
  return new ValueCache({ values: () => Promise.reject(new Error("not asked here")) }, 16e6, () => undefined);
}

test("ValueCache: trim() does not reject where freed memory cannot be given back", async (t) => {
  dlopen.mock.mockImplementationOnce(() => {
    throw new Error("Cannot load add-on: the test says so");
  });
  t.after(() => releaseFree.mock.resetCalls());
  const cache = emptyCache();
  for (const calls of [0, 1]) {
    cache.forget(MANY_ROWS);
    await cache.trim();
    assert.equal(releaseFree.mock.callCount(), calls);
  }
  assert.equal(dlopen.mock.callCount(), 2);
});

for (const { what, rows, bytes, isWorthIt } of [
  { what: "one row", rows: 1, bytes: 100, isWorthIt: false },
  { what: "what an idle cluster's compaction removes", rows: 1000, bytes: 0, isWorthIt: false },
  { what: "many rows that are not in memory", rows: 10_000, bytes: 0, isWorthIt: true },
  { what: "few rows with much in memory", rows: 100, bytes: 50_000, isWorthIt: true },
])
  test(`ValueCache: trim() ${isWorthIt ? "gives freed memory back" : "does not look for freed memory"} after ${what}`, async (t) => {
    t.after(() => releaseFree.mock.resetCalls());
    const cache = emptyCache();
    const dropped = MANY_ROWS.slice(0, rows);
    if (bytes > 0) for (const row of dropped) cache.set(row, Buffer.alloc(bytes));
    cache.forget(dropped);
    await cache.trim();
    assert.equal(releaseFree.mock.callCount(), isWorthIt ? 1 : 0);
    await cache.trim();
    assert.equal(releaseFree.mock.callCount(), isWorthIt ? 1 : 0);
  });

test("ValueCache: trim() gives freed memory back after many times of few rows, once", async (t) => {
  t.after(() => releaseFree.mock.resetCalls());
  const cache = emptyCache();
  const calls: number[] = [];
  for (let start = 0; start < MANY_ROWS.length; start += 1000) {
    cache.forget(MANY_ROWS.slice(start, start + 1000));
    await cache.trim();
    calls.push(releaseFree.mock.callCount());
  }
  assert.deepEqual(calls, [0, 0, 0, 0, 1, 1, 1, 1, 1, 2]);
});
