import assert from "node:assert/strict";
import { test } from "node:test";
import { defaultValueCacheBytes } from "../src/open-store.ts";

const MIB = 1024 * 1024;

test("defaultValueCacheBytes(): 1/32 of the machine's memory, between 24 and 128 MiB", () => {
  const sizes = [0, 512, 768, 1024, 2048, 4096, 65_536].map((mib) => defaultValueCacheBytes(mib * MIB) / MIB);
  assert.deepEqual(sizes, [24, 24, 24, 32, 64, 128, 128]);
  assert.equal(defaultValueCacheBytes(1000 * MIB + 1), 32_768_000);
});
