import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { LineSplitter } from "../src/line-splitter.ts";

function split(limitBytes: number, ...chunks: readonly (string | Buffer)[]): readonly (string | undefined)[] {
  const splitter = new LineSplitter(limitBytes);
  return [...chunks.flatMap((chunk) => splitter.push(Buffer.from(chunk))), splitter.end()];
}

describe("LineSplitter", () => {
  const cases = [
    { name: "gives whole lines without their line feeds", chunks: ["a\nbc\n"], lines: ["a", "bc", undefined] },
    { name: "joins a line over chunks", chunks: ["a", "b", "c\nd"], lines: ["abc", "d"] },
    { name: "keeps empty lines", chunks: ["\n\na\n"], lines: ["", "", "a", undefined] },
    { name: "takes off a carriage return", chunks: ["a\r\nb\r", "\nc\rd\n"], lines: ["a", "b", "c\rd", undefined] },
    {
      name: "joins a character over chunks",
      chunks: [Buffer.from([0xc3]), Buffer.from([0xa4, 10])],
      lines: ["ä", undefined],
    },
    {
      name: "replaces what is not UTF-8",
      chunks: [Buffer.from([0x61, 0xff, 0xfe, 0x62, 10])],
      lines: ["a\ufffd\ufffdb", undefined],
    },
    {
      name: "cuts a long line and counts the rest",
      chunks: ["0123456789\nx\n"],
      lines: ["01234567… (2 more bytes)", "x", undefined],
    },
    { name: "cuts a long line over chunks", chunks: ["01234", "56789", "0123"], lines: ["01234567… (6 more bytes)"] },
    { name: "leaves a line of exactly the limit whole", chunks: ["01234567\n"], lines: ["01234567", undefined] },
  ];
  for (const { name, chunks, lines } of cases) {
    test(`push() ${name}`, () => assert.deepEqual(split(8, ...chunks), lines));
  }
});
