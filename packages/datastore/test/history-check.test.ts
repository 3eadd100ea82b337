import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { tableTraits, type RowHead } from "../src/driver.ts";
import { HistoryCheck, LostHistoryError } from "../src/history-check.ts";
import { MvccIndex } from "../src/mvcc-index.ts";

/** An index that ends with the key `/a` in row 2, and what its database has in that row. */
function createRig() {
  const index = new MvccIndex();
  index.skipRow(1, false);
  const state = { create: 2, version: 1, lease: 0n, deleted: false, previous: undefined, value: undefined };
  index.append({ key: "/a", row: 2, mod: 2, ...state });
  index.commit(2);
  const stored = { name: "/a" };
  const head = (): RowHead => ({
    ...{ id: 2, name: stored.name, created: true, deleted: false },
    ...{ createRevision: 0, prevRevision: 0, ttlSeconds: 0 },
  });
  const driver = {
    traits: tableTraits,
    heads: () => Promise.resolve([head()]),
    values: () => Promise.resolve([Buffer.from("v")]),
  };
  return { stored, check: new HistoryCheck({ driver, index, values: { peek: () => Buffer.from("v") } }) };
}

describe("HistoryCheck.assertWhole()", () => {
  test("compares at once, and each time, after it has found a loss, until all is there again", async () => {
    const { stored, check } = createRig();
    await check.assertWhole(2);
    await assert.rejects(check.assertWhole(1), LostHistoryError);
    stored.name = "/b"; // another server has written as many rows as were lost
    for (let times = 0; times < 2; times++) await assert.rejects(check.assertWhole(2), LostHistoryError);
    await assert.rejects(check.assertWhole(3), LostHistoryError);
    stored.name = "/a";
    await check.assertWhole(3);
  });
});
