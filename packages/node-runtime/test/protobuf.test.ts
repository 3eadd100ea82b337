import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { formatField, readFields, textField } from "../src/protobuf.ts";

describe("readFields()", () => {
  for (const [name, hex] of [
    ["is cut short in a text", "0a05302e"],
    ["is cut short in a number", "0a80"],
    ["has a number without an end", "08ffffffffffffffffffff01"],
    ["has a field of a fixed size", "0d00000000"],
  ] as const)
    test(`rejects a message that ${name}`, () => assert.throws(() => readFields(Buffer.from(hex, "hex"))));

  test("reads numbers and texts", () => {
    // A Status of containerd: ref in 3, offset in 4.
    const fields = readFields(Buffer.from("1a0d7461722d6c617965722e74617220b09d03", "hex"));
    assert.equal(textField(fields, 3), "tar-layer.tar");
    assert.deepEqual(fields[1], { number: 4, value: 52_912 });
    assert.equal(textField(fields, 4), undefined);
    assert.equal(textField(fields, 5), undefined);
  });

  for (const length of [0, 127, 128, 20_000])
    test(`reads a text of ${length} letters as it was written`, () => {
      const text = "x".repeat(length);
      assert.equal(textField(readFields(formatField(1, text)), 1), text);
    });
});
