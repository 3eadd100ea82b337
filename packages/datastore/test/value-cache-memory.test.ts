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
