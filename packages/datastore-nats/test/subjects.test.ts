import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { decodeBase58, encodeBase58 } from "../src/base58.ts";
import { Subjects } from "../src/subjects.ts";

const subjects = new Subjects("kine");

describe("encodeBase58()", () => {
  // The first three are examples of the internet draft on base 58.
  const cases: readonly (readonly [bytes: Buffer, text: string])[] = [
    [Buffer.from("Hello World!"), "2NEpo7TZRRrLZSi2U"],
    [
      Buffer.from("The quick brown fox jumps over the lazy dog."),
      "USm3fpXnKG5EUBx2ndxBDMPVciP5hGey2Jh4NDv6gmeo1LkMeiKrLJUUBk6Z",
    ],
    [Buffer.from("0000287fb4cd", "hex"), "11233QC4"],
    [Buffer.from("/"), "p"],
    [Buffer.alloc(0), ""],
  ];
  for (const [bytes, text] of cases)
    test(`gives "${text}" and back`, () => {
      assert.equal(encodeBase58(bytes), text);
      assert.deepEqual(decodeBase58(text), bytes);
    });

  test("is undone only for its own alphabet", () => {
    for (const text of ["0", "O", "I", "l", "a b"]) assert.equal(decodeBase58(text), undefined);
  });
});

describe("Subjects", () => {
  const base58 = (text: string) => encodeBase58(Buffer.from(text));
  const cases: readonly (readonly [name: string, tokens: readonly string[]])[] = [
    ["/registry/health", [base58("registry"), base58("health")]],
    ["compact_rev_key_apiserver", ["meta", base58("compact_rev_key_apiserver")]],
    ["a/b", ["meta", base58("a"), base58("b")]],
    ["/a//b", [base58("a"), "p", base58("b")]],
    ["/a/", [base58("a"), "p"]],
    ["/", ["p"]],
    ["/registry/ümläut", [base58("registry"), base58("ümläut")]],
  ];
  for (const [name, tokens] of cases)
    test(`ofName("${name}") is what kine calls it, and toName() its inverse`, () => {
      const subject = `$KV.kine.${tokens.join(".")}`;
      assert.equal(subjects.ofName(name), subject);
      assert.equal(subjects.toName(subject), name);
    });

  test("ofName() refuses a name that NATS has no room for", () => {
    assert.equal(subjects.ofName(`/${"x".repeat(3000)}`), undefined);
    assert.notEqual(subjects.ofName(`/${"x".repeat(2000)}`), undefined);
  });

  test("toName() knows what is nobody's", () => {
    for (const subject of ["$KV.other.p", "$KV.kine.0OIl", "$KV.kine.a..b"])
      assert.equal(subjects.toName(subject), undefined);
  });
});
