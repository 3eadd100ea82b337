import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ENTRY_BYTES, ValueArena } from "../src/value-arena.ts";

const text = (arena: ValueArena, row: number) => arena.get(row)?.toString();

describe("ValueArena", () => {
  test("gives copies, which stay as they are when its memory is used again", () => {
    const arena = new ValueArena(1000);
    assert.equal(arena.get(1), undefined);
    arena.put(1, Buffer.from("one"));
    arena.put(2, Buffer.alloc(0));
    const [one, none] = [arena.get(1), arena.get(2)];
    arena.clear();
    assert.deepEqual([arena.get(1), arena.usedBytes], [undefined, 0]);
    arena.put(3, Buffer.from("two"));
    assert.deepEqual([one?.toString(), none?.length, text(arena, 3)], ["one", 0, "two"]);
  });

  test("takes values up to its limit", () => {
    const arena = new ValueArena(2 * (ENTRY_BYTES + 10));
    assert.deepEqual([arena.couldHold(ENTRY_BYTES + 20), arena.couldHold(ENTRY_BYTES + 21)], [true, false]);
    assert.deepEqual(
      [1, 2, 3].map((row) => arena.put(row, Buffer.alloc(10, String(row)))),
      [true, true, false],
    );
    assert.deepEqual([text(arena, 1), text(arena, 2), arena.get(3)], ["1".repeat(10), "2".repeat(10), undefined]);
  });

  test("counts what was deleted as used until it is cleared", () => {
    const arena = new ValueArena(1000);
    arena.put(1, Buffer.from("one"));
    arena.put(2, Buffer.from("three"));
    arena.delete(1);
    arena.delete(1);
    assert.deepEqual([arena.liveBytes, arena.usedBytes], [ENTRY_BYTES + 5, 2 * ENTRY_BYTES + 8]);
    assert.deepEqual(
      [...arena.entries()].map(([row, value]) => [row, value.toString()]),
      [[2, "three"]],
    );
    arena.release();
    assert.deepEqual([arena.get(2), arena.liveBytes], [undefined, 0]);
    assert.ok(arena.put(2, Buffer.from("again")));
    assert.equal(text(arena, 2), "again");
  });
});
