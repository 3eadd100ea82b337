import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { StoreError, type StoreErrorReason } from "@k3s/datastore";
import { create, del, just, put, query, rangeOf } from "./support/ops.ts";
import { sql } from "./support/python.ts";
import { eventually, storeAt, tempDatabase, tempStore } from "./support/temp-store.ts";

const reason = (expected: StoreErrorReason) => (error: unknown) =>
  error instanceof StoreError && error.reason === expected;
const ROWS = "SELECT id, name, prev_revision FROM kine WHERE name <> 'compact_rev_key' ORDER BY id";

async function becomes(path: string, statement: string, expected: unknown[][]): Promise<void> {
  await eventually(async () => assert.deepEqual(await sql(path, statement), expected));
}

describe("Store.compact()", () => {
  test("refuses what is compacted already and what is to come", async (t) => {
    const store = await tempStore(t);
    await store.txn(create("/a", "1"));
    await assert.rejects(store.compact(0), reason("compacted"));
    await assert.rejects(store.compact(4), reason("futureRevision"));
    const results = await Promise.allSettled([store.compact(3), store.compact(3), store.compact(2)]);
    assert.deepEqual(
      results.map(({ status }) => status),
      ["fulfilled", "rejected", "rejected"],
    );
    assert.equal((await store.status()).compactRevision, 3);
  });

  test("refuses the past to a transaction that writes behind it, and not to one before it", async (t) => {
    const store = await tempStore(t);
    for (const value of ["1", "2", "3"]) await store.txn(just(put("/a", value)));
    const past = { kind: "range", query: query(rangeOf("/a"), { revision: 2 }) } as const;
    const both = () => ({ ...just(put("/a", "4")), success: [put("/a", "4"), past] });
    const before = store.txn(both());
    const compaction = store.compact(3);
    await new Promise(setImmediate); // it is planned, and hardly on the disk
    await assert.rejects(store.txn(both()), reason("compacted"));
    assert.equal((await before).succeeded, true);
    await compaction;
  });

  test("removes by kine's rule, replaced rows and tombstones, but a deletion in the revision itself", async (t) => {
    const path = await tempDatabase(t);
    const store = await storeAt(t, path);
    for (const value of ["1", "2", "3"]) await store.txn(just(put("/a", value)));
    await store.txn(create("/gone", "x"));
    await store.txn(just(del("/gone")));
    await store.txn(create("/gone", "again"));
    await store.txn(just(put("/a", "4")));
    const kept = [
      [2, "/registry/health", 0],
      [5, "/a", 4],
      [8, "/gone", 7],
      [9, "/a", 5],
    ];
    await store.compact(7);
    await becomes(path, ROWS, [...kept.slice(0, 2), [6, "/gone", 0], [7, "/gone", 6], ...kept.slice(2)]); // a watch may start at 7
    await store.compact(8);
    await becomes(path, ROWS, kept);
    await store.close();
    assert.deepEqual(await sql(path, "SELECT id, prev_revision FROM kine WHERE name = 'compact_rev_key'"), [[1, 8]]);
    const again = await storeAt(t, path);
    const { kvs } = await again.range(query(rangeOf("/a", "/h"), { revision: 8 }));
    assert.deepEqual(
      kvs.map(({ value }) => value.toString()),
      ["3", "again"],
    );
    await assert.rejects(again.range(query(rangeOf("/a"), { revision: 7 })), reason("compacted"));
  });

  test("finishes at the next start what a crash left behind", async (t) => {
    const path = await tempDatabase(t);
    const first = await storeAt(t, path);
    for (let i = 0; i < 50; i++) await first.txn(just(put("/a", `${i}`)));
    await first.close();
    await sql(path, "UPDATE kine SET prev_revision = 52 WHERE name = 'compact_rev_key'");
    await storeAt(t, path);
    await becomes(path, ROWS, [
      [2, "/registry/health", 0],
      [52, "/a", 51],
    ]);
  });

  test("a key deleted, compacted and made again links to no row that is gone", async (t) => {
    const path = await tempDatabase(t);
    const store = await storeAt(t, path);
    for (let round = 0; round < 5; round++) {
      await store.txn(create("/a", `${round}`));
      await store.txn(just(del("/a")));
      await store.compact(store.currentRevision);
    }
    await store.txn(create("/a", "last"));
    await store.compact(store.currentRevision);
    await becomes(path, "SELECT COUNT(*) FROM kine WHERE name = '/a'", [[1]]);
  });

  test("does not let the file grow while keys are rewritten and compacted", async (t) => {
    const path = await tempDatabase(t);
    const store = await storeAt(t, path);
    const sizes: number[] = [];
    for (let round = 0; round < 8; round++) {
      const writes = Array.from({ length: 200 }, (_, i) => store.txn(just(put(`/a/${i % 20}`, "v".repeat(1000)))));
      await Promise.all(writes);
      await store.compact(store.currentRevision);
      await becomes(path, "SELECT COUNT(*) FROM kine", [[22]]);
      sizes.push((await store.status()).dbSizeBytes);
    }
    await store.defragment();
    const after = await store.status();
    assert.ok(Math.max(...sizes.slice(4)) <= Math.max(...sizes.slice(0, 4)) * 1.5, `sizes ${sizes.join()}`);
    assert.equal(after.dbSizeBytes, after.dbSizeInUseBytes);
  });

  test("removes spans of transactions that have no row left", async (t) => {
    const path = await tempDatabase(t);
    const store = await storeAt(t, path);
    await store.txn(just(put("/a", "1"), put("/b", "1")));
    await store.txn(just(put("/a", "2"), put("/b", "2"), put("/c", "2")));
    await store.compact(store.currentRevision);
    await becomes(path, "SELECT first_id, last_id FROM kine_span", [[5, 7]]);
    await store.close();
    const again = await storeAt(t, path);
    const { kvs } = await again.range(query(rangeOf("/a", "/h")));
    assert.deepEqual(
      kvs.map(({ modRevision }) => modRevision as number),
      [7, 7, 7],
    );
  });
});
