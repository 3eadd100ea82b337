import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import { nextTurn } from "@k3s/async";
import { PLACE_BYTES, REWRITES_MAX, SEGMENT_BYTES, ValueLog } from "../src/value-log.ts";
import { entryBytes, ValueSegment } from "../src/value-segment.ts";

const MIB = 1024 * 1024;

/** Numbers from 0 to below `below`, the same ones in each run. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state * 48_271) % 2_147_483_647;
    return state % below;
  };
}

/** A value that says whose it is, in each of its bytes. */
function valueOf(row: number, bytes = 1000): Buffer {
  return Buffer.alloc(bytes, `${row}.`);
}

function range(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}

/** Puts rows of 1000 bytes each. */
function filled(limitBytes: number, rows: readonly number[]): ValueLog {
  const log = new ValueLog(limitBytes);
  for (const row of rows) log.put(row, valueOf(row));
  return log;
}

type Move = Parameters<ValueSegment["take"]>;

/** Counts the bytes that are moved in order to keep them. */
function countMoves(t: TestContext): () => number {
  const take = Reflect.get(ValueSegment.prototype, "take");
  let bytes = 0;
  t.mock.method(ValueSegment.prototype, "take", function (this: ValueSegment, ...[source, from]: Move) {
    bytes += source.bytesAt(from);
    return take.call(this, source, from);
  });
  return () => bytes;
}

/** Which of the rows are there; each that is has to be as it went in. */
function kept(log: ValueLog, rows: readonly number[]): readonly number[] {
  return rows.filter((row) => {
    const value = log.get(row);
    if (value !== undefined) assert.deepEqual(value, valueOf(row, value.length));
    return value !== undefined;
  });
}

describe("ValueLog", () => {
  test("gives copies, which stay as they are when the memory is used again", () => {
    const log = new ValueLog(1000);
    assert.equal(log.get(1), undefined);
    log.put(1, Buffer.from("one"));
    log.put(2 ** 53 - 1, Buffer.alloc(0));
    const [one, none] = [log.get(1), log.get(2 ** 53 - 1)];
    log.delete(1);
    log.put(3, Buffer.from("two"));
    assert.deepEqual([one?.toString(), none?.length, log.get(1)], ["one", 0, undefined]);
    assert.equal(log.get(3)?.toString(), "two");
  });

  test("replaces the value of a row", () => {
    const log = filled(MIB, [1, 2, 1]);
    log.put(1, Buffer.from("other"));
    assert.equal(log.get(1)?.toString(), "other");
    log.delete(1);
    log.delete(1);
    assert.deepEqual(kept(log, [1, 2]), [2]);
  });

  test("keeps all that fits, in whatever order it is read", (t) => {
    const movedBytes = countMoves(t);
    const rows = range(1, 12_000);
    const log = filled(rows.length * (entryBytes(1000) + PLACE_BYTES) * 1.005 + SEGMENT_BYTES, rows);
    const random = randomFrom(7);
    for (let i = 0; i < 50_000; i++) assert.ok(log.get(1 + random(rows.length)));
    assert.deepEqual(kept(log, rows), rows);
    assert.equal(movedBytes(), 0);
  });

  test("takes a value of nearly all the limit, and not one that is larger", () => {
    for (const limit of [200, 3000, 4 * MIB]) {
      const log = new ValueLog(limit);
      const largest = Math.floor((limit - PLACE_BYTES - entryBytes(0)) / 8) * 8;
      log.put(1, valueOf(1, 8));
      log.put(2, valueOf(2, largest));
      assert.deepEqual(kept(log, [1, 2]), [2], `limit ${limit}`);
      log.put(2, valueOf(2, largest + 1));
      assert.deepEqual([log.get(2), log.usedBytes <= limit], [undefined, true], `limit ${limit}`);
    }
    const none = new ValueLog(1);
    none.put(1, Buffer.alloc(0));
    assert.deepEqual([none.get(1), none.usedBytes], [undefined, 0]);
  });

  test("drops what is not used and keeps what is, time and again", () => {
    const hot = range(1, 500);
    const log = filled(4 * MIB, hot);
    for (let row = 1000; row < 30_000; row++) {
      log.put(row, valueOf(row));
      log.get(hot[row % hot.length] ?? 0);
    }
    assert.deepEqual(kept(log, hot), hot);
    assert.deepEqual(kept(log, range(1000, 20_000)), []);
    assert.equal(kept(log, range(29_000, 29_999)).length, 1000);
  });

  test("gives a large value that is used a second chance too, without moving it", (t) => {
    const movedBytes = countMoves(t);
    const log = new ValueLog(4 * MIB);
    log.put(1, valueOf(1, MIB));
    for (let row = 2; row < 20; row++) {
      log.put(row, valueOf(row, MIB));
      assert.ok(log.get(1), `row 1 after row ${row}`);
    }
    assert.deepEqual([kept(log, range(1, 16)), movedBytes()], [[1], 0]);
  });

  test("one put works on a bounded number of bytes, also when all is in use", (t) => {
    const movedBytes = countMoves(t);
    const rows = range(1, 20_000);
    const log = filled(16 * MIB, rows);
    for (let row = 20_001; row < 40_000; row++) {
      if (row % 1000 === 1) kept(log, range(1, row));
      const before = movedBytes();
      log.put(row, valueOf(row));
      assert.ok(movedBytes() - before <= REWRITES_MAX * SEGMENT_BYTES);
      assert.ok(log.get(row));
    }
    assert.ok(movedBytes() > 0);
  });

  test("what was deleted makes room before anything that is there goes", () => {
    const rows = range(1, 3500);
    const log = filled(4 * MIB, rows);
    const left = rows.filter((row) => row % 2 === 0);
    for (const row of rows) if (row % 2 === 1) log.delete(row);
    const added = range(4001, 5500);
    for (const row of added) log.put(row, valueOf(row));
    assert.deepEqual(kept(log, [...left, ...added]), [...left, ...added]);
  });

  test("gives back the memory of segments of which nothing is left", () => {
    const log = filled(8 * MIB, range(1, 5000));
    for (const row of range(1, 5000)) log.delete(row);
    assert.ok(log.usedBytes <= 2 * SEGMENT_BYTES, `${log.usedBytes} bytes are held`);
  });

  test("trim() moves together what is left, and no more than a segment in one turn", async (t) => {
    const movedBytes = countMoves(t);
    const rows = range(1, 5000);
    const log = filled(8 * MIB, rows);
    const left = rows.filter((row) => row % 10 === 0);
    for (const row of rows) if (row % 10 !== 0) log.delete(row);
    let isOver = false;
    const trimmed = log.trim().then(() => (isOver = true));
    for (let before = 0; !isOver; before = movedBytes()) {
      await nextTurn();
      assert.ok(movedBytes() - before <= 2 * SEGMENT_BYTES * 0.5);
    }
    await trimmed;
    assert.deepEqual(kept(log, rows), left);
    assert.ok(log.usedBytes < 5 * SEGMENT_BYTES, `${log.usedBytes} bytes are held`);
  });

  test("trim() leaves alone what is used for the most part", async (t) => {
    const movedBytes = countMoves(t);
    const log = filled(8 * MIB, range(1, 5000));
    for (const row of range(1, 5000)) if (row % 3 === 0) log.delete(row);
    await log.trim();
    assert.equal(movedBytes(), 0);
  });

  test("without memory it keeps what it has and takes no more, until there is some", (t) => {
    const log = filled(8 * MIB, range(1, 100));
    const isFull = () => new RangeError("Array buffer allocation failed");
    const mock = t.mock.method(globalThis, "ArrayBuffer", function () {
      throw isFull();
    });
    log.put(200, valueOf(200, MIB));
    log.put(1, valueOf(1, MIB));
    for (const row of range(300, 700)) log.put(row, valueOf(row));
    const before = log.usedBytes;
    const open = kept(log, range(300, 700));
    assert.ok(open.length > 0 && open.length < 401, "the open segment is filled up and no other is begun");
    assert.deepEqual(kept(log, [200, 1]), [], "not even the value that was replaced is told");
    assert.deepEqual(kept(log, range(2, 100)), range(2, 100));
    mock.mock.restore();
    for (const row of range(300, 700)) log.put(row, valueOf(row));
    assert.deepEqual(kept(log, range(300, 700)), range(300, 700));
    assert.ok(log.usedBytes > before);
  });

  for (const [seed, limit] of [
    [1, 1],
    [2, 100],
    [3, 1000],
    [4, 3000],
    [5, 20_000],
    [6, 700_000],
    [7, 3 * MIB],
  ] as const)
    test(`agrees with a map under a limit of ${limit} bytes, with trims in between`, async () => {
      await compareWithMap(new ValueLog(limit), limit, randomFrom(seed));
    });
});

/** Random puts, deletes and reads. What is there is what was put last, and never more than the limit. */
async function compareWithMap(log: ValueLog, limit: number, random: (below: number) => number): Promise<void> {
  const last = new Map<number, Buffer>();
  const trims: Promise<void>[] = [];
  const rows = 2 * Math.min(400, 10 + Math.ceil(limit / 200));
  const deleteRow = (row: number) => {
    log.delete(row);
    last.delete(row);
  };
  const deleteMany = () => {
    for (let row = 0; row < rows; row += 1 + random(2)) deleteRow(row);
  };
  const put = (row: number, value: Buffer) => {
    log.put(row, value);
    last.set(row, value);
    if (value.length + 100 < limit) assert.deepEqual(log.get(row), value);
  };
  for (let step = 0; step < 20_000; step++) {
    const row = random(rows);
    const action = random(1000);
    const value = log.get(row);
    if (value !== undefined) assert.deepEqual(value, last.get(row));
    if (action < 500) put(row, valueOf(step, randomSize(limit, random)));
    else if (action < 700) deleteRow(row);
    else if (action === 998) deleteMany();
    else if (action === 999) trims.push(log.trim());
    else if (action > 980) await nextTurn();
    assert.ok(log.usedBytes <= limit, `${log.usedBytes} bytes after step ${step}`);
  }
  await Promise.all(trims);
  for (const [row, value] of last) assert.deepEqual(log.get(row) ?? value, value);
  for (const row of last.keys()) log.delete(row);
  assert.ok(log.usedBytes <= Math.min(limit, 2 * SEGMENT_BYTES), "all memory but that of two segments is given back");
}

/** Mostly small; now and then a third of the limit, or more than all of it. */
function randomSize(limit: number, random: (below: number) => number): number {
  const sizes = [0, 8, 30, 100, 300, Math.ceil(limit / 100), Math.ceil(limit / 20), Math.ceil(limit / 3), limit + 100];
  return random((sizes[random(random(20) === 0 ? 9 : 7)] ?? 0) + 1);
}
