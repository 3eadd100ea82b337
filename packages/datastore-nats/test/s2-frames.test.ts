import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, test } from "node:test";
import { Random } from "@k3s/testkit";
import { maskedCrc32c } from "../src/crc32c.ts";
import { decodeBlock, S2FormatError } from "../src/s2-block.ts";
import { readFrames, writeFrames } from "../src/s2-frames.ts";
import { writeS2 } from "./support/s2-writer.ts";

const SAMPLES: readonly (readonly [name: string, bytes: Buffer])[] = [
  ["nothing", Buffer.alloc(0)],
  ["one byte", Buffer.from("x")],
  [
    "JSON",
    Buffer.from(JSON.stringify({ KV: { Key: "/registry/a", Value: "AAAA".repeat(50) }, Create: true, Delete: true })),
  ],
  ["a long run", Buffer.alloc(70_000, "ab")],
  ["a run beyond a repeat's second length", Buffer.alloc(200_000, "z")],
  ["noise", randomBytes(1000)],
];

describe("maskedCrc32c()", () => {
  test("gives the masked form of the polynomial's check value", () => {
    const crc = 0xe3069283; // of the digits 1 to 9
    const masked = (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
    assert.equal(maskedCrc32c(Buffer.from("123456789")), masked);
  });
});

describe("decodeBlock()", () => {
  const blocks: readonly (readonly [name: string, block: readonly number[], text: string])[] = [
    ["a literal", [3, 2 << 2, 0x61, 0x62, 0x63], "abc"],
    ["a copy with a one-byte offset", [8, 3 << 2, 0x61, 0x62, 0x63, 0x64, 0x01, 4], "abcdabcd"],
    ["a copy with a two-byte offset", [6, 2 << 2, 0x61, 0x62, 0x63, (2 << 2) | 2, 3, 0], "abcabc"],
    ["a copy with a four-byte offset", [6, 2 << 2, 0x61, 0x62, 0x63, (2 << 2) | 3, 3, 0, 0, 0], "abcabc"],
    ["a copy that overlaps itself", [7, 0, 0x61, (5 << 2) | 2, 1, 0], "aaaaaaa"],
    ["a repeat of the last offset", [10, 1 << 2, 0x61, 0x62, (3 << 2) | 2, 2, 0, 0x01, 0], "ababababab"],
    ["a repeat with one byte of length", [17, 0, 0x61, (1 << 2) | 2, 1, 0, (5 << 2) | 1, 0, 6], "a".repeat(17)],
  ];
  for (const [name, block, text] of blocks)
    test(`reads ${name}`, () => {
      assert.equal(decodeBlock(Buffer.from(block), 1000).toString(), text);
    });

  const damaged: readonly (readonly [name: string, block: readonly number[]])[] = [
    ["says it is longer than allowed", [0xff, 0xff, 0xff, 0xff, 0x0f]],
    ["ends in its length", [0x80]],
    ["ends in a literal", [3, 2 << 2, 0x61]],
    ["copies from before its begin", [8, 0, 0x61, 0x01, 4]],
    ["copies beyond its end", [2, 0, 0x61, (63 << 2) | 2, 1, 0]],
    ["repeats where there was no copy", [5, 0, 0x61, 0x01, 0]],
    ["is shorter than it says", [9, 0, 0x61]],
  ];
  for (const [name, block] of damaged)
    test(`refuses a block that ${name}`, () => {
      assert.throws(() => decodeBlock(Buffer.from(block), 1000), S2FormatError);
    });
});

describe("readFrames()", () => {
  for (const [name, bytes] of SAMPLES) {
    test(`reads ${name} from an S2 stream with copies, repeats and padding`, () => {
      assert.ok(readFrames(writeS2(bytes)).equals(bytes));
    });
    test(`reads ${name} from what writeFrames() gives`, () => {
      assert.ok(readFrames(writeFrames(bytes)).equals(bytes));
    });
  }

  test("refuses another format, a wrong checksum and a stream that is cut off", () => {
    const stream = writeFrames(Buffer.from("some text"));
    const wrongSum = Buffer.from(stream);
    wrongSum[wrongSum.length - 1] = 0;
    const cases = [
      Buffer.from("{}"),
      Buffer.from("plain text, no stream"),
      wrongSum,
      stream.subarray(0, -1),
      stream.subarray(0, 12),
    ];
    for (const damaged of cases) assert.throws(() => readFrames(damaged), S2FormatError);
  });

  test("answers or refuses whatever the bytes are", () => {
    const [, stream] = [0, writeS2(Buffer.from("abcdefgh".repeat(40)))];
    const random = new Random(8222);
    for (let i = 0; i < 5000; i++) {
      const mutant = Buffer.from(stream);
      for (let n = 0; n <= i % 3; n++) mutant[random.below(mutant.length)] = random.below(256);
      try {
        readFrames(mutant);
      } catch (error) {
        assert.ok(error instanceof S2FormatError, `seed ${random.seed}, round ${i}: ${String(error)}`);
      }
    }
  });
});
