import assert from "node:assert/strict";
import { test } from "node:test";
import { NO_VALUE, ValueCache } from "../src/value-cache.ts";
import type { Version } from "../src/version.ts";

const ENTRY_BYTES = 64;

/** A table whose row `n` has the text of `n`; rows from 1000 on are gone. `asked` holds the questions in order. */
function table() {
  const asked: (readonly number[])[] = [];
  const values = async (rows: readonly number[]) => {
    asked.push(rows);
    return Promise.resolve(rows.map((row) => (row < 1000 ? Buffer.from(String(row)) : undefined)));
  };
  return { asked, values };
}

function version(row: number): Version {
  return {
    key: `k${row}`,
    row,
    mod: row,
    create: row,
    version: 1,
    lease: 0n,
    deleted: false,
    previous: undefined,
    value: undefined,
  };
}

const neverMissing = () => assert.fail("no row is missing");

test("ValueCache: reads that begin in one turn are one question to the database", async () => {
  const { asked, values } = table();
  const cache = new ValueCache({ values }, 1e6, neverMissing);
  const found = await Promise.all([[1], [2, 3], [4]].map((rows) => cache.load(rows.map(version))));
  assert.deepEqual(asked, [[1, 2, 3, 4]]);
  assert.deepEqual(
    found.map((one) => [...one].map(([row, value]) => [row, value.toString()])),
    [
      [[1, "1"]],
      [
        [2, "2"],
        [3, "3"],
      ],
      [[4, "4"]],
    ],
  );
});

test("ValueCache: a large read is a question of its own, and many small ones are cut", async () => {
  const { asked, values } = table();
  const cache = new ValueCache({ values }, 1e6, neverMissing);
  const rows = (first: number, count: number) => Array.from({ length: count }, (_, i) => version(first + i));
  await Promise.all([
    cache.load(rows(1, 100)),
    ...Array.from({ length: 6 }, (_, i) => cache.load(rows(200 + i * 50, 50))),
  ]);
  assert.deepEqual(
    asked.map((one) => one.length),
    [100, 250, 50],
  );
});

test("ValueCache: a failed question fails every read that was part of it", async () => {
  const values = async () => Promise.reject(new Error("gone"));
  const cache = new ValueCache({ values }, 1e6, neverMissing);
  const outcomes = await Promise.allSettled([cache.load([version(1)]), cache.load([version(2)])]);
  assert.deepEqual(
    outcomes.map(({ status }) => status),
    ["rejected", "rejected"],
  );
});

test("ValueCache: a row that the database does not have is reported and left out", async () => {
  const { values } = table();
  const missing: number[] = [];
  const cache = new ValueCache({ values }, 1e6, ({ row }) => missing.push(row));
  const found = await cache.load([version(7), version(1000)]);
  assert.deepEqual([...found.keys()], [7]);
  assert.deepEqual(missing, [1000]);
});

test("ValueCache: what is used stays, what is not used goes, and the limit holds", () => {
  const cache = new ValueCache(table(), 8 * (ENTRY_BYTES + 4), neverMissing);
  for (let row = 1; row <= 100; row++) {
    cache.set(row, Buffer.from("four"));
    assert.equal(cache.peek(version(1))?.toString(), "four", `row 1 after row ${row}`);
  }
  const kept = Array.from({ length: 100 }, (_, i) => i + 1).filter((row) => cache.peek(version(row)) !== undefined);
  assert.ok(kept.length >= 4 && kept.length <= 8, `${kept.length} rows are kept`);
  assert.ok(kept.includes(100));
});

test("ValueCache: a value that is larger than the limit is not kept, nor one that was forgotten", () => {
  const cache = new ValueCache(table(), 1000, neverMissing);
  cache.set(1, Buffer.alloc(950));
  cache.set(2, Buffer.alloc(10, "b"));
  cache.set(2, Buffer.alloc(10, "c"));
  assert.equal(cache.peek(version(1)), undefined);
  assert.equal(cache.peek(version(2))?.toString(), "cccccccccc");
  cache.forget([2]);
  assert.equal(cache.peek(version(2)), undefined);
  assert.equal(cache.peek({ ...version(3), deleted: true }), NO_VALUE);
});

test("ValueCache: of a key only the newest value is kept, and none of one that has ended", async () => {
  const { values, asked } = table();
  const cache = new ValueCache({ values }, 1e6, neverMissing);
  const first = { ...version(1), value: Buffer.from("one") };
  const second = { ...version(2), value: Buffer.from("two"), previous: first };
  const end = { ...version(3), deleted: true, value: undefined, previous: second };
  for (const next of [first, second]) cache.replace(next);
  assert.equal(cache.peek(version(1)), undefined);
  assert.equal(cache.peek(version(2))?.toString(), "two");
  cache.replace(end);
  assert.equal(cache.peek(version(2)), undefined);
  assert.equal((await cache.load([version(1)])).get(1)?.toString(), "1");
  assert.deepEqual(asked, [[1]]);
});

test("ValueCache: trim() keeps what is left when most of it was forgotten", async () => {
  const cache = new ValueCache(table(), 20 * (ENTRY_BYTES + 4), neverMissing);
  const rows = Array.from({ length: 16 }, (_, i) => i + 1);
  for (const row of rows) cache.set(row, Buffer.from("four"));
  await cache.trim();
  assert.deepEqual(kept(cache, [1, 16]), [1, 16]);
  cache.forget(rows.filter((row) => row !== 3 && row !== 15));
  await cache.trim();
  assert.deepEqual(kept(cache, rows), [3, 15]);
  cache.set(20, Buffer.from("more"));
  assert.equal(cache.peek(version(20))?.toString(), "more");
});

function kept(cache: ValueCache, rows: readonly number[]): readonly number[] {
  return rows.filter((row) => cache.peek(version(row))?.toString() === "four");
}
