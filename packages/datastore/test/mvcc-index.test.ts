import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { MvccIndex } from "../src/mvcc-index.ts";
import type { Version } from "../src/version.ts";

function append(index: MvccIndex, row: number, deleted: boolean): Version {
  const previous = index.newest("/a");
  const state = deleted ? { create: 0, version: 0 } : { create: row, version: 1 };
  const version = { key: "/a", row, mod: row, lease: 0n, deleted, previous, value: undefined, ...state };
  index.append(version);
  return version;
}

/** A key made and deleted, compacted up to its tombstone. */
function compacted(): { index: MvccIndex; tombstone: Version } {
  const index = new MvccIndex();
  append(index, 1, false);
  const tombstone = append(index, 2, true);
  index.commit(2);
  index.compact(2);
  return { index, tombstone };
}

function sweep(index: MvccIndex): void {
  const garbage = index.garbage(10);
  assert.deepEqual(garbage, { rows: [1, 2], position: 2 });
  index.sweep(garbage);
}

describe("MvccIndex.rollback()", () => {
  test("brings a compacted tombstone back whose row is still there", () => {
    const { index, tombstone } = compacted();
    const { end } = index.log;
    append(index, 3, false);
    index.rollback(end, 2);
    assert.equal(index.newest("/a"), tombstone);
    sweep(index);
    assert.equal(index.newest("/a"), undefined);
  });

  test("forgets a key whose tombstone was removed while it was written", () => {
    const { index } = compacted();
    const { end } = index.log;
    append(index, 3, false);
    sweep(index);
    index.rollback(end, 2);
    assert.equal(index.newest("/a"), undefined);
  });
});
