import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { TurnCounter } from "@k3s/testkit";
import { inSlices } from "../src/in-slices.ts";

describe("inSlices()", () => {
  const items = Array.from({ length: 10 }, (_, i) => `item ${i}`);

  for (const [size, turns] of [
    [3, 4],
    [5, 2],
    [10, 1],
    [11, 1],
  ] as const) {
    test(`visits 10 items in order in ${turns} turns of the event loop when ${size} are a slice`, async () => {
      const visits = new TurnCounter();
      const seen: string[] = [];
      await inSlices(items, size, (item, index) => {
        visits.add();
        seen[index] = item;
      });
      assert.deepEqual([seen, visits.turns, visits.most], [items, turns, Math.min(size, items.length)]);
    });
  }

  test("ends with the first error", async () => {
    const seen: string[] = [];
    const visit = (item: string, index: number) => {
      if (index === 4) throw new Error("It is enough");
      seen.push(item);
    };
    await assert.rejects(inSlices(items, 3, visit), /It is enough/);
    assert.deepEqual(seen, items.slice(0, 4));
  });
});
