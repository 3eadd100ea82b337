import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { MvccIndex } from "../src/mvcc-index.ts";
import { RangeReader } from "../src/range-reader.ts";
import { sortInSlices } from "../src/sort-in-slices.ts";
import type { RangeQuery } from "../src/types.ts";
import { ValueCache } from "../src/value-cache.ts";

const KEYS = 20_000;
const ALL = { key: Buffer.from("k"), rangeEnd: Buffer.from("l"), limit: 0, revision: 0 };
const query: RangeQuery = { ...ALL, keysOnly: true, countOnly: false };
const keyOf = (n: number) => `k${String(n).padStart(6, "0")}`;
/** Row `n` changes a key that is not next to that of row `n - 1`, and its value is not in the order of rows. */
const keyAt = (row: number) => keyOf((row * 7919) % KEYS);
const valueAt = (row: number) => Buffer.from(String((row * 104_729) % 99_991).padStart(6, "0"));

/** Every key written twice. */
function filled(): { index: MvccIndex; reader: RangeReader; read: number[] } {
  const index = new MvccIndex();
  for (let row = 1; row <= 2 * KEYS; row++) append(index, row);
  index.commit(2 * KEYS);
  const read: number[] = [];
  const values = (rows: readonly number[]) => {
    read.push(...rows);
    return Promise.resolve(rows.map(valueAt));
  };
  return { index, reader: new RangeReader(index, new ValueCache({ values }, 1 << 20, () => undefined)), read };
}

function append(index: MvccIndex, row: number): void {
  const key = keyAt(row);
  const previous = index.newest(key);
  const state = { create: previous?.create ?? row, version: (previous?.version ?? 0) + 1, deleted: false };
  index.append({ key, row, mod: row, lease: 0n, previous, value: undefined, ...state });
}

/** What `work` gives, and how often other work could run meanwhile. */
async function countingTurns<T>(work: () => Promise<T>): Promise<[T, number]> {
  let turns = 0;
  let isOver = false;
  const turn = () => {
    turns++;
    if (!isOver) setImmediate(turn);
  };
  setImmediate(turn);
  const result = await work();
  isOver = true;
  return [result, turns];
}

const rowsOf = ({ kvs }: { kvs: readonly { modRevision: number }[] }) => kvs.map(({ modRevision }) => modRevision);
/** The newest rows in order: each key's second one. */
const newest = Array.from({ length: KEYS }, (_, i) => KEYS + 1 + i);

describe("RangeReader.read()", () => {
  for (const [what, asked, expected] of [
    ["sorted", { ...query, sort: { target: "mod", descending: true } }, newest.toReversed()],
    [
      "filtered",
      { ...query, minModRevision: 2 * KEYS - 5, sort: { target: "mod", descending: false } },
      newest.slice(-6),
    ],
    [
      "sorted by its values",
      { ...query, keysOnly: false, sort: { target: "value", descending: false } },
      newest.toSorted((a, b) => valueAt(a).compare(valueAt(b)) || (keyAt(a) < keyAt(b) ? -1 : 1)),
    ],
  ] as const)
    test(`lets other work run during a list that is ${what}`, async () => {
      const { reader } = filled();
      const [result, turns] = await countingTurns(() => reader.read(asked));
      assert.deepEqual(rowsOf(result), expected);
      assert.equal(result.count, KEYS);
      assert.ok(turns >= 8, `${turns} turns`);
    });

  test("reads no values but those of the answer, unless it is sorted by them", async () => {
    const { reader, read } = filled();
    const sort = { target: "create", descending: true } as const;
    const result = await reader.read({ ...query, keysOnly: false, limit: 2, sort });
    assert.deepEqual([result.more, result.count, read.length], [true, KEYS, 2]);
    assert.deepEqual(
      result.kvs.map(({ value }) => value),
      read.map(valueAt),
    );
  });

  test("counts at an older revision in slices, whatever is written, committed and taken back meanwhile", async () => {
    const { index, reader } = filled();
    const at = KEYS - 100; // so many keys were there
    append(index, 2 * KEYS + 1); // pending
    const counted = countingTurns(() => reader.read({ ...query, countOnly: true, revision: at }));
    index.rollback(index.log.end - 1, 2 * KEYS);
    for (let row = 2 * KEYS + 1; row < 2 * KEYS + 500; row++) append(index, row);
    index.commit(2 * KEYS + 400);
    const [{ count }, turns] = await counted;
    assert.equal(count, at);
    assert.ok(turns >= 2, `${turns} turns`);
    assert.equal(index.count({ from: "k", to: "l" }, at), at);
  });

  test("refuses a revision that is compacted while it is counted", async () => {
    const { index, reader } = filled();
    const reading = reader.read({ ...query, countOnly: true, revision: 10 });
    index.compact(KEYS);
    await assert.rejects(reading, { reason: "compacted" });
  });
});

describe("sortInSlices()", () => {
  for (const count of [0, 1, 3999, 4000, 4001, 12_345, 40_000])
    test(`sorts ${count} items as toSorted() does, equal ones in their order`, async () => {
      const items = Array.from({ length: count }, (_, i) => ({ i, key: (i * 7919) % 1009 }));
      const compare = (a: { key: number }, b: { key: number }) => a.key - b.key;
      const [sorted, turns] = await countingTurns(() => sortInSlices(items, compare));
      assert.deepEqual(sorted, items.toSorted(compare));
      assert.ok(turns >= Math.floor(count / 4001), `${turns} turns`);
    });
});
