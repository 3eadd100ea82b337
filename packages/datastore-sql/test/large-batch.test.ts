import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { emptyBatch, type CommitBatch } from "@k3s/datastore";
import { hasParts, partsOf } from "../src/batch-parts.ts";
import { commitLimitMs, WRITE_LIMIT_MS } from "../src/commit-limit.ts";

/** Creations behind row 7. */
function batchOf(rows: number): CommitBatch {
  const plain = { created: true, deleted: false, createRevision: 0, prevRevision: 0, ttlSeconds: 0, lease: 0n };
  const value = Buffer.from("value");
  return {
    ...emptyBatch,
    after: 7,
    rows: Array.from({ length: rows }, (_, i) => ({ ...plain, id: 8 + i, name: `/${i}`, value })),
  };
}

describe("commitLimitMs()", () => {
  test("grows with the rows, from the limit of a small commit on", () => {
    const limits = [0, 1, 1000, 400_000].map((rows) => commitLimitMs(batchOf(rows)));
    assert.deepEqual(
      limits,
      limits.toSorted((a, b) => a - b),
    );
    assert.equal(limits[0], WRITE_LIMIT_MS);
    assert.ok((limits[1] ?? Infinity) < WRITE_LIMIT_MS + 100, "a small commit is given up as soon as ever");
    // etcd's own client waits 30 s for such a deletion; a slow disk may need more.
    assert.ok((limits[3] ?? 0) > 60_000, `${limits[3]} ms for 400,000 rows`);
  });
});

describe("partsOf()", () => {
  for (const rows of [0, 1, 1000]) {
    test(`leaves ${rows} rows in one piece`, () => {
      const batch = batchOf(rows);
      assert.deepEqual([[...partsOf(batch)], hasParts(batch)], [[batch], false]);
    });
  }

  test("plans each part on the last row of the one before, and tells the rest with the first", () => {
    const rest: Omit<CommitBatch, "after" | "rows"> = {
      spans: [{ first: 8, last: 2508 }],
      leases: [{ id: 5n, ttlSeconds: 60, expiresAtMs: 1 }],
      endedLeases: [6n],
      requiredLeases: [5n],
      dueLeases: [{ id: 6n, expiresAtMs: 1 }],
      rowLeases: [[3, 5n]],
      compactRevision: 4,
    };
    const batch: CommitBatch = { ...batchOf(2501), ...rest };
    assert.equal(hasParts(batch), true);
    const parts = [...partsOf(batch)];
    assert.deepEqual(
      parts.map(({ after, rows }) => [after, rows.length]),
      [
        [7, 1000],
        [1007, 1000],
        [2007, 501],
      ],
    );
    assert.deepEqual(
      parts.flatMap(({ rows }) => rows),
      batch.rows,
    );
    const [first, ...others] = parts.map((part) => ({ ...part, after: 0, rows: [] }));
    assert.deepEqual([first, ...others], [{ ...emptyBatch, ...rest }, emptyBatch, emptyBatch]);
  });
});
