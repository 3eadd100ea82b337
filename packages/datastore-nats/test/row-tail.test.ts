import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { RowTail } from "../src/row-tail.ts";

/** A tail behind sequence 0 to which messages were added. */
function tailOf(...sequences: readonly number[]): RowTail {
  const tail = new RowTail(0);
  add(tail, ...sequences);
  return tail;
}

function add(tail: RowTail, ...sequences: readonly number[]): void {
  for (const seq of sequences) tail.add({ seq, subject: `/${seq}`, header: () => "", data: Buffer.alloc(10) });
}

const taken = (tail: RowTail, after: number) => tail.take(after, 100)?.map(({ seq }) => seq);

describe("RowTail", () => {
  test("keeps what has arrived until something behind it is taken", () => {
    const tail = tailOf(1, 2, 3);
    assert.deepEqual([taken(tail, 0), taken(tail, 1), taken(tail, 0), tail.last], [[1, 2, 3], [2, 3], undefined, 3]);
  });

  test("forget() drops what has arrived and what is still on its way, and nothing behind it", () => {
    const tail = tailOf(1, 2);
    tail.forget(4);
    add(tail, 3, 4, 5, 6);
    assert.deepEqual([taken(tail, 2), taken(tail, 4), tail.last], [undefined, [5, 6], 6]);
    tail.forget(2);
    assert.deepEqual(taken(tail, 4), [5, 6]);
  });

  test("forget() leaves room for what comes later", () => {
    const tail = new RowTail(0);
    const large = (seq: number) => ({ seq, subject: "/", header: () => "", data: Buffer.alloc(7 << 20) });
    for (let seq = 1; seq < 10; seq++) {
      tail.add(large(seq));
      tail.forget(seq);
    }
    for (const seq of [10, 11]) tail.add(large(seq));
    assert.deepEqual(taken(tail, 9), [10, 11]);
  });
});
