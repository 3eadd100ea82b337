import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { nextTurn } from "@k3s/async";
import { Backlog } from "../src/backlog.ts";
import { Outbox } from "../src/outbox.ts";

const KIB = 1 << 10;
const MIB = 1 << 20;
const BIG = 1 << 30;

const isCut = (outbox: Outbox) => assert.rejects(outbox.take(), { name: "RpcError", code: 14, message: /too slow/ });
const held = (outboxes: readonly Outbox[]) => outboxes.reduce((sum, { waitingBytes }) => sum + waitingBytes, 0);

describe("Backlog", () => {
  test("add() cuts the fullest readers off, so that all of them stay within the limit", async () => {
    const backlog = new Backlog(16 * MIB);
    const slow = Array.from({ length: 40 }, () => new Outbox(4 * MIB, backlog));
    const quick = new Outbox(4 * MIB, backlog);
    for (let i = 0; i < 3000; i++) {
      slow[i % 40]?.push(Buffer.alloc(40 * KIB));
      quick.push(Buffer.of(i % 256));
      assert.equal((await quick.take())[0], i % 256);
      await nextTurn();
      assert.ok(held(slow) <= 16 * MIB, `${held(slow)} bytes are held`);
    }
    assert.ok(held(slow) > 0, "the last are within the limit");
    const ends = slow.filter(({ waitingBytes }) => waitingBytes === 0);
    assert.ok(ends.length > 20);
    await Promise.all(ends.map(isCut));
  });

  test("add() counts what a message costs besides its bytes", async () => {
    const backlog = new Backlog(1 * MIB);
    const outboxes = Array.from({ length: 20 }, () => new Outbox(BIG, backlog));
    for (let i = 0; i < 20_000; i++) outboxes[i % 20]?.push(Buffer.of(1));
    await nextTurn();
    assert.ok(held(outboxes) <= 1 * MIB && held(outboxes) > 0);
    assert.ok(outboxes.some(({ waitingBytes }) => waitingBytes === 0));
  });

  test("add() leaves watches half of the memory, whatever waits in the transport", async () => {
    const backlog = new Backlog(16 * MIB);
    backlog.include(() => 30 * MIB);
    const [first, second] = [new Outbox(BIG, backlog), new Outbox(BIG, backlog)];
    first.push(Buffer.alloc(4 * MIB));
    second.push(Buffer.alloc(3 * MIB));
    assert.equal((await first.take()).length, 4 * MIB);
    first.push(Buffer.alloc(4 * MIB));
    second.push(Buffer.alloc(2 * MIB));
    await nextTurn();
    assert.equal(second.waitingBytes, 0);
    await isCut(second);
    assert.equal((await first.take()).length, 4 * MIB);
  });

  test("add() lets a message pass that is larger than all memory", async () => {
    const backlog = new Backlog(1 * MIB);
    const [large, other] = [new Outbox(BIG, backlog), new Outbox(BIG, backlog)];
    other.push(Buffer.alloc(10));
    large.push(Buffer.alloc(3 * MIB));
    await nextTurn();
    assert.equal((await large.take()).length, 3 * MIB);
    assert.equal((await other.take()).length, 10);
  });

  test("add() spares readers that take at once what all were told in one turn", async () => {
    const backlog = new Backlog(1 * MIB);
    const outboxes = Array.from({ length: 50 }, () => new Outbox(BIG, backlog));
    const taken = outboxes.map((outbox) => outbox.take());
    for (const outbox of outboxes) outbox.push(Buffer.alloc(100 * KIB));
    assert.equal((await Promise.all(taken)).length, 50);
    await nextTurn();
    for (const outbox of outboxes) outbox.push(Buffer.of(7));
    for (const outbox of outboxes) assert.equal((await outbox.take())[0], 7);
  });

  test("isStrained is over when the readers have read, or were cut off", async () => {
    const backlog = new Backlog(5 * MIB);
    const outbox = new Outbox(BIG, backlog);
    for (let i = 0; i < 3; i++) outbox.push(Buffer.alloc(1 * MIB));
    assert.equal(backlog.isStrained, true);
    for (let i = 0; i < 2; i++) await outbox.take();
    assert.equal(backlog.isStrained, false);
    for (let i = 0; i < 3; i++) outbox.push(Buffer.alloc(1 * MIB));
    outbox.cutOff();
    assert.equal(backlog.isStrained, false);
  });

  for (const [queued, room] of [
    [0, 8],
    [16, 8],
    [17, 2],
    [32, 2],
    [33, 0],
  ] as const)
    test(`hasRoomBehind() takes ${room} MiB of one client while ${queued} of 16 MiB wait`, () => {
      const backlog = new Backlog(16 * MIB);
      backlog.include(() => queued * MIB);
      assert.deepEqual([backlog.hasRoomBehind(room * MIB), backlog.hasRoomBehind(room * MIB + 1)], [true, false]);
    });
});
