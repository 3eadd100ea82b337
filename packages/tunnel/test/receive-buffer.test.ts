import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, test } from "node:test";
import { ReceiveBuffer } from "../src/receive-buffer.ts";

function drained(buffer: ReceiveBuffer): Buffer {
  const parts: Buffer[] = [];
  for (let chunk = buffer.shift(); chunk !== undefined; chunk = buffer.shift()) parts.push(chunk);
  return Buffer.concat(parts);
}

describe("ReceiveBuffer", () => {
  test("gives back what was appended, in order, whatever the sizes", () => {
    const buffer = new ReceiveBuffer();
    const parts = [3, 20_000, 70_000, 1, 1, 16_384, 16_383, 0, 50_000, 9].map((size) => randomBytes(size));
    for (const part of parts) buffer.append(part);
    assert.equal(buffer.length, Buffer.concat(parts).length);
    assert.deepEqual(drained(buffer), Buffer.concat(parts));
    assert.equal(buffer.length, 0);
    assert.equal(buffer.shift(), undefined);
  });

  test("keeps order when it is read in between", () => {
    const buffer = new ReceiveBuffer();
    const parts = Array.from({ length: 500 }, (_, index) => randomBytes((index * 7919) % 20_000));
    const got: Buffer[] = [];
    for (const [index, part] of parts.entries()) {
      buffer.append(part);
      const chunk = index % 3 === 0 ? buffer.shift() : undefined;
      if (chunk !== undefined) got.push(Buffer.from(chunk));
    }
    got.push(drained(buffer));
    assert.deepEqual(Buffer.concat(got), Buffer.concat(parts));
  });

  test("holds small chunks together, not the blocks they came in", () => {
    const buffer = new ReceiveBuffer();
    for (let count = 0; count < 10_000; count++) buffer.append(Buffer.alloc(64 * 1024).subarray(0, 10));
    let chunks = 0;
    while (buffer.shift() !== undefined) chunks++;
    assert.ok(chunks <= 2, `${chunks} chunks`);
  });

  test("does not let a chunk change after it was given", () => {
    const buffer = new ReceiveBuffer();
    buffer.append(Buffer.from("first"));
    const first = buffer.shift();
    buffer.append(Buffer.from("second"));
    assert.equal(String(first), "first");
  });
});
