import assert from "node:assert/strict";
import { test } from "node:test";
import { PlaceMap } from "../src/place-map.ts";

test("PlaceMap: holds what was set last, and counts each row once", () => {
  const places = new PlaceMap();
  const largest = 2 ** 53 - 1;
  for (const row of [1, 33, largest, 1]) places.set(row, row - 1);
  places.set(33, 7);
  assert.deepEqual(
    [places.get(1), places.get(33), places.get(largest), places.get(65)],
    [0, 7, largest - 1, undefined],
  );
  assert.equal(places.size, 3);
  for (const row of [33, 33, 65]) places.delete(row);
  assert.deepEqual([places.get(33), places.size], [undefined, 2]);
  assert.throws(() => places.set(-1, 0), RangeError);
});
