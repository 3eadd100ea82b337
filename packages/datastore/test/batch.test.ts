import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { mayShareCommit, merge } from "../src/batch.ts";
import { emptyBatch, tableTraits, type CommitBatch } from "../src/driver.ts";

const record = (expiresAtMs: number) => ({ id: 5n, ttlSeconds: 60, expiresAtMs });
const grant: CommitBatch = { ...emptyBatch, leases: [record(1)] };
const renewal: CommitBatch = { ...emptyBatch, leases: [record(2)], requiredLeases: [5n] };
const end: CommitBatch = { ...emptyBatch, endedLeases: [5n], requiredLeases: [5n] };
const expiry: CommitBatch = { ...end, dueLeases: [{ id: 5n, expiresAtMs: 2 }] };

describe("merge(): leases", () => {
  const cases = [
    { title: "a renewal needs the lease", batches: [renewal], leases: [record(2)], ended: [], required: [5n] },
    {
      title: "a renewal behind the grant needs nothing",
      batches: [grant, renewal],
      leases: [record(2)],
      ended: [],
      required: [],
    },
    {
      title: "an end takes the grant before it back",
      batches: [grant, renewal, end],
      leases: [],
      ended: [5n],
      required: [],
    },
    { title: "an end needs the lease", batches: [renewal, end], leases: [], ended: [5n], required: [5n, 5n] },
    {
      title: "a grant behind the end is what counts",
      batches: [end, grant],
      leases: [record(1)],
      ended: [],
      required: [5n],
    },
  ];
  for (const { title, batches, leases, ended, required } of cases) {
    test(title, () => {
      const merged = merge(batches, 7);
      assert.deepEqual(
        [merged.after, merged.leases, merged.endedLeases, merged.requiredLeases],
        [7, leases, ended, required],
      );
    });
  }
});

describe("merge(): leases that were found due", () => {
  const { dueLeases } = expiry;
  for (const [title, batches, expected] of [
    ["as they are stored", [end, expiry], dueLeases],
    ["not as the same commit stores them", [renewal, expiry], []],
    ["before they are granted anew", [expiry, grant], dueLeases],
  ] as const)
    test(title, () => assert.deepEqual(merge(batches, 7).dueLeases, expected));
});

test("mayShareCommit(): a batch with deletions is committed alone, whatever the database can do", () => {
  const deletion: CommitBatch = { ...emptyBatch, deletions: { first: 8, rows: Float64Array.of(3, 4) } };
  for (const atomic of ["batch", "transaction"] as const) {
    const traits = { ...tableTraits, atomic };
    assert.equal(mayShareCommit(emptyBatch, emptyBatch, traits), true);
    assert.equal(mayShareCommit(deletion, emptyBatch, traits), false);
    assert.equal(mayShareCommit(emptyBatch, deletion, traits), false);
    assert.equal(mayShareCommit(deletion, deletion, traits), false);
  }
});
