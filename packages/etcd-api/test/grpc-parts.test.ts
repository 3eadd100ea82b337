import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { MessageAssembler, messagePrefix } from "../src/grpc-framing.ts";
import { percentEncode } from "../src/grpc-status.ts";
import { parseGrpcTimeout } from "../src/grpc-timeout.ts";

describe("MessageAssembler", () => {
  const messages = [0, 1, 4, 5, 6, 100, 3000].map((length) => Buffer.alloc(length, `${length}`));
  const bytes = Buffer.concat(messages.flatMap((message) => [messagePrefix(message.length), message]));

  for (const size of [1, 2, 5, 6, 7, 104, 10_000])
    test(`finds the messages in pieces of ${size} bytes`, () => {
      const assembler = new MessageAssembler(3000);
      const found: Buffer[] = [];
      for (let at = 0; at < bytes.length; at += size)
        assembler.push(bytes.subarray(at, at + size), (message) => found.push(Buffer.from(message)));
      assert.deepEqual(found, messages);
      assert.equal(assembler.isPartial, false);
    });

  for (const pieces of [[5], [1, 4]])
    test(`refuses a message by its prefix alone, in ${pieces.length} pieces`, () => {
      const assembler = new MessageAssembler(99);
      const prefix = messagePrefix(100);
      assert.throws(
        () => {
          for (let at = 0, i = 0; i < pieces.length; at += pieces[i++] ?? 0)
            assembler.push(prefix.subarray(at, at + (pieces[i] ?? 0)), () => undefined);
        },
        { code: 8 },
      );
    });

  test("knows that a message is unfinished", () => {
    const assembler = new MessageAssembler(99);
    assembler.push(Buffer.from([0, 0]), () => undefined);
    assert.equal(assembler.isPartial, true);
  });
});

describe("percentEncode()", () => {
  for (const [text, encoded] of [
    ["plain ASCII ~!", "plain ASCII ~!"],
    ["100%", "100%25"],
    ["a\r\nb\0\x7f", "a%0D%0Ab%00%7F"],
    ["é€", "%C3%A9%E2%82%AC"],
    [" ends ", "%20ends%20"],
    ["", ""],
  ] as const)
    test(`"${encodeURI(text)}"`, () => assert.equal(percentEncode(text), encoded));
});

describe("parseGrpcTimeout()", () => {
  for (const [text, ms] of [
    ["1H", 3_600_000],
    ["2M", 120_000],
    ["3S", 3000],
    ["250m", 250],
    ["5000u", 5],
    ["99999999n", 99.999999],
    ["0m", 0],
  ] as const)
    test(`"${text}" is ${ms} ms`, () => assert.equal(parseGrpcTimeout(text), ms));

  for (const text of ["", "m", "1", "1s", "-1m", "1.5S", "999999999m", " 1m", "1mm"])
    test(`"${text}" is none`, () => assert.equal(parseGrpcTimeout(text), undefined));
});
