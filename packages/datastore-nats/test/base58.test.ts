import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, test } from "node:test";
import { decodeBase58, encodeBase58 } from "../src/base58.ts";

const ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

/** The same by one division of a large number for each digit. */
function encodeSlowly(bytes: Buffer): string {
  let text = "";
  for (let rest = BigInt(`0x0${bytes.toString("hex")}`); rest > 0n; rest /= 58n)
    text = ALPHABET.charAt(Number(rest % 58n)) + text;
  const first = bytes.findIndex((byte) => byte !== 0);
  return "1".repeat(first < 0 ? bytes.length : first) + text;
}

describe("base 58", () => {
  // draft-msporny-base58-03, 5, and the empty text
  for (const [bytes, text] of [
    [Buffer.from("Hello World!"), "2NEpo7TZRRrLZSi2U"],
    [
      Buffer.from("The quick brown fox jumps over the lazy dog."),
      "USm3fpXnKG5EUBx2ndxBDMPVciP5hGey2Jh4NDv6gmeo1LkMeiKrLJUUBk6Z",
    ],
    [Buffer.from("0000287fb4cd", "hex"), "11233QC4"],
    [Buffer.alloc(0), ""],
  ] as const)
    test(`${text || "nothing"} stands for ${bytes.length} bytes`, () => {
      assert.equal(encodeBase58(bytes), text);
      assert.deepEqual(decodeBase58(text), bytes);
    });

  test("agrees with divisions of the whole number at every length, with zeros in front and without", () => {
    for (let length = 0; length < 300; length++) {
      const zeros = Math.min(length, length % 5);
      const bytes = Buffer.concat([Buffer.alloc(zeros), randomBytes(length - zeros)]);
      const text = encodeBase58(bytes);
      assert.equal(text, encodeSlowly(bytes), bytes.toString("hex"));
      assert.deepEqual(decodeBase58(text), bytes);
    }
    for (const byte of [0, 1, 255])
      assert.equal(encodeBase58(Buffer.alloc(64, byte)), encodeSlowly(Buffer.alloc(64, byte)));
  });

  test("is undefined where a character is none of the alphabet", () => {
    for (const text of ["0", "abcO", "Il", "ä", " 2"]) assert.equal(decodeBase58(text), undefined);
  });
});
