import assert from "node:assert/strict";
import { test } from "node:test";
import { MvccIndex } from "../src/mvcc-index.ts";
import { Pins } from "../src/pins.ts";
import { ValueCache } from "../src/value-cache.ts";

/** A store that is compacted at 5, and whose database has no rows. */
function createPins(): Pins {
  const index = new MvccIndex();
  index.compact(5);
  const missing = (rows: readonly number[]) => Promise.resolve(rows.map(() => undefined));
  return new Pins({ index, values: new ValueCache({ values: missing }, 1000, () => undefined) });
}

const needs = (row: number) => ({
  needs: [
    {
      ...{ key: "/a", row, mod: row, create: row, version: 1, lease: 0n, deleted: false },
      ...{ previous: undefined, value: undefined },
    },
  ],
});

test("Pins: a row that was compacted may be missing once: the next plan does without it", async () => {
  const pins = createPins();
  assert.deepEqual([await pins.load(needs(4)), await pins.load(needs(3)), pins.values.size], [false, false, 0]);
  await assert.rejects(pins.load(needs(4)), /row 4 is missing in the database/);
});

test("Pins: a row that a plan needs in two places is missing once", async () => {
  const { needs: four } = needs(4);
  assert.equal(await createPins().load({ needs: [...four, ...four] }), false);
});

test("Pins: a row that was not compacted may not be missing", async () => {
  await assert.rejects(createPins().load(needs(6)), /row 6 is missing in the database/);
});
