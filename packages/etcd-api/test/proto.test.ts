import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { decodeInto, ProtoError, ProtoReader } from "../src/proto/proto-reader.ts";
import { encode } from "../src/proto/proto-writer.ts";

function readerAt(bytes: Buffer): ProtoReader {
  const reader = new ProtoReader(bytes);
  reader.next();
  return reader;
}

describe("ProtoWriter and ProtoReader", () => {
  // Hexadecimal forms by the protobuf encoding document: field 1, base-128 varint, two's complement for negatives.
  const numbers: readonly (readonly [value: number, hex: string])[] = [
    [1, "0801"],
    [127, "087f"],
    [128, "088001"],
    [300, "08ac02"],
    [2 ** 31, "088080808008"],
    [2 ** 32, "088080808010"],
    [2 ** 53 - 1, "08ffffffffffffff0f"],
    [-1, "08ffffffffffffffffff01"],
    [-2, "08feffffffffffffffff01"],
  ];
  for (const [value, hex] of numbers) {
    test(`int64() carries ${value}`, () => {
      const bytes = encode((writer) => writer.int64(1, value));
      assert.equal(bytes.toString("hex"), hex);
      assert.equal(readerAt(bytes).int64(), value);
      assert.equal(readerAt(bytes).bigint64(), BigInt(value));
    });
  }

  for (const value of [2n ** 63n - 1n, -(2n ** 63n), 7_587_862_094_993_408_001n, -1n]) {
    test(`bigint64() carries ${value}`, () => {
      assert.equal(readerAt(encode((writer) => writer.bigint64(1, value))).bigint64(), value);
    });
  }

  test("zero, false and empty are left out, members of a oneof are not", () => {
    const left = encode((writer) => {
      writer.int64(1, 0);
      writer.bigint64(2, 0n);
      writer.bool(3, false);
      writer.bytes(4, Buffer.alloc(0));
      writer.string(5, "");
    });
    assert.equal(left.length, 0);
    assert.equal(encode((writer) => writer.presentInt64(6, 0)).toString("hex"), "3000");
    assert.equal(encode((writer) => writer.message(2, () => undefined)).toString("hex"), "1200");
  });

  test("encode() grows beyond its hint", () => {
    const value = Buffer.alloc(10_000, 7);
    const bytes = encode((writer) => writer.bytes(2, value), 1);
    assert.ok(readerAt(bytes).bytes().equals(value));
    assert.equal(bytes.length, 10_000 + 3);
  });
});

describe("decodeInto()", () => {
  const fields = { 1: (m: { n: number }, r: ProtoReader) => (m.n = r.int64()) };
  const read = (hex: string) => decodeInto({ n: 0 }, Buffer.from(hex, "hex"), fields).n;

  test("passes over unknown fields of every wire type", () => {
    // field 9 as varint, 64-bit, bytes, 32-bit; then field 1 = 5
    assert.equal(read("48ff01" + "490102030405060708" + "4a03010203" + "4d01020304" + "0805"), 5);
  });

  test("takes the last of a repeated scalar", () => assert.equal(read("08010802"), 2));

  const broken: readonly (readonly [what: string, hex: string])[] = [
    ["a number that ends early", "08ff"],
    ["a number of eleven bytes", "08ffffffffffffffffffff01"],
    ["bytes longer than the message", "4a05aa"],
    ["bytes with a negative length", "4affffffffffffffffff01"],
    ["a 64-bit field that ends early", "490102"],
    ["a 32-bit field that ends early", "4d01"],
    ["a group", "4b"],
    ["field number 0", "00"],
    ["a known field with the wrong wire type", "0a0101"],
  ];
  for (const [what, hex] of broken) {
    test(`throws ProtoError for ${what}`, () => assert.throws(() => read(hex), ProtoError));
  }
});
