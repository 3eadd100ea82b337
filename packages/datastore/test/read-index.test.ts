import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { SharedDatabase } from "../src/driver.ts";
import { ReadIndex } from "../src/read-index.ts";

/** A database at a row, and an index that shows less. */
function readIndex(lastRow: number, catchUp: (shown: { row: number }) => void) {
  const shown = { row: 1 };
  const compacted: number[] = [];
  let asked = 0;
  const position: SharedDatabase["position"] = () => {
    asked++;
    return Promise.resolve({ lastRow, compactRevision: 7 });
  };
  const index = new ReadIndex({
    others: { position },
    shown: () => shown.row,
    lacksChanges: () => false,
    catchUp: () => {
      catchUp(shown);
      return Promise.resolve();
    },
    onCompacted: (at) => compacted.push(at),
  });
  return { index, shown, compacted, asked: () => asked };
}

describe("ReadIndex", () => {
  test("fresh() looks again when it joined a look from before the database said where it stands", async () => {
    let looks = 0;
    const { index, shown, compacted } = readIndex(5, (told) => (told.row = ++looks === 1 ? 3 : 5));
    await index.fresh();
    assert.deepEqual([shown.row, looks, compacted], [5, 2, [7]]);
  });

  test("fresh() looks at nothing when the index shows all, and not for ever when it cannot", async () => {
    let looks = 0;
    const current = readIndex(1, () => looks++);
    await current.index.fresh();
    assert.equal(looks, 0);
    const stuck = readIndex(5, () => looks++);
    await stuck.index.fresh();
    assert.ok(looks > 1 && looks < 10, `${looks} looks`);
  });

  test("fresh() asks once for all that came while it was asked before", async () => {
    const { index, asked } = readIndex(1, () => undefined);
    await Promise.all([index.fresh(), index.fresh(), index.fresh()]);
    assert.equal(asked(), 2);
  });
});
