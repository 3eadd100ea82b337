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

/** A key made and deleted, compacted beyond its tombstone. */
function compacted(): { index: MvccIndex; tombstone: Version } {
  const index = new MvccIndex();
  append(index, 1, false);
  const tombstone = append(index, 2, true);
  index.skipRow(3, false);
  index.commit(3);
  index.compact(3);
  return { index, tombstone };
}

function sweep(index: MvccIndex): void {
  const garbage = index.garbage(10);
  assert.deepEqual(garbage, { rows: [1, 2], position: 2 });
  index.sweep(garbage);
}

describe("MvccIndex.garbage()", () => {
  test("leaves a tombstone of the compacted revision, which can still be told, until the next compaction", () => {
    const index = new MvccIndex();
    append(index, 1, false);
    append(index, 2, true);
    index.commit(2);
    index.compact(2);
    assert.deepEqual(index.garbage(10), { rows: [], position: 1 });
    index.sweep({ rows: [], position: 1 });
    assert.equal(index.garbage(10), undefined);
    index.skipRow(3, false);
    index.commit(3);
    index.compact(3);
    sweep(index);
  });

  test("leaves a gap at the end of the table, also beside a row that may be taken back", () => {
    const index = new MvccIndex();
    append(index, 1, false);
    index.skipRow(2, true);
    index.commit(2);
    append(index, 3, false); // pending
    index.compact(2);
    assert.deepEqual(index.garbage(10)?.rows, []);
    index.commit(3);
    assert.deepEqual(index.garbage(10)?.rows, [2]);
  });
});

describe("MvccIndex.rollback()", () => {
  test("brings a compacted tombstone back whose row is still there", () => {
    const { index, tombstone } = compacted();
    const { end } = index.log;
    append(index, 4, false);
    index.rollback(end, 3);
    assert.equal(index.newest("/a"), tombstone);
    sweep(index);
    assert.equal(index.newest("/a"), undefined);
  });

  test("forgets a key whose tombstone was removed while it was written", () => {
    const { index } = compacted();
    const { end } = index.log;
    append(index, 4, false);
    sweep(index);
    index.rollback(end, 3);
    assert.equal(index.newest("/a"), undefined);
  });

  test("compacts up to the row behind one that the database has lost, but not for one that a compaction took", () => {
    const lost = new MvccIndex();
    const first = append(lost, 1, false);
    append(lost, 2, false);
    append(lost, 3, false);
    lost.commit(3);
    lost.lose(first);
    assert.equal(lost.compactRevision, 2);

    const { index } = compacted();
    const gone = index.log.at(0);
    assert.ok(gone !== undefined);
    sweep(index);
    append(index, 4, false);
    index.commit(4);
    index.lose(gone);
    assert.equal(index.compactRevision, 3);
  });
});
