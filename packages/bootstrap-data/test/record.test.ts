import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { bootstrapPaths, formatContent, parseContent } from "../src/content.ts";
import { recordKey } from "../src/find-record.ts";
import { decryptRecord, encryptRecord } from "../src/record.ts";
import { formatTimestamp, parseTimestamp } from "../src/timestamp.ts";

const RECORD = "0123456789abcdef:AAECAwQFBgcICQoLiXkdAw3fmqpFbQInL4uqhV2m1g==";
const NONCE = Buffer.from("000102030405060708090a0b", "hex");

describe("encryptRecord()", () => {
  test("writes upstream's form", async () => {
    assert.equal(await encryptRecord("{}\n", "secret", { salt: "0123456789abcdef", nonce: NONCE }), RECORD);
  });
  test("takes another salt and nonce each time", async () => {
    const [one, two] = [await encryptRecord("x", "secret"), await encryptRecord("x", "secret")];
    assert.match(one, /^[0-9a-f]{16}:[A-Za-z0-9+/]+=*$/);
    assert.notEqual(one.slice(0, 16), two.slice(0, 16));
    assert.notEqual(one.slice(17, 33), two.slice(17, 33));
  });
});

describe("decryptRecord()", () => {
  test("reads upstream's form and what encryptRecord() wrote", async () => {
    assert.equal(await decryptRecord(RECORD, "secret"), "{}\n");
    assert.equal(await decryptRecord(await encryptRecord("größer", "t"), "t"), "größer");
  });
  for (const [what, record, password, code] of [
    ["another token", RECORD, "other", "ERR_BOOTSTRAP_UNDECRYPTABLE"],
    ["a changed salt", RECORD.replace("0123", "1123"), "secret", "ERR_BOOTSTRAP_UNDECRYPTABLE"],
    ["a changed cipher text", RECORD.replace("iXkd", "iXke"), "secret", "ERR_BOOTSTRAP_UNDECRYPTABLE"],
    ["a changed tag", RECORD.replace("2m1g", "2m1w"), "secret", "ERR_BOOTSTRAP_UNDECRYPTABLE"],
    ["a missing colon", RECORD.replace(":", ""), "secret", "ERR_BOOTSTRAP_MALFORMED"],
    ["too little", "0123456789abcdef:AAAA", "secret", "ERR_BOOTSTRAP_MALFORMED"],
  ] as const) {
    test(`refuses ${what}`, async () => assert.rejects(decryptRecord(record, password), { code }));
  }
});

describe("recordKey()", () => {
  test("is made of the token's hash", () => {
    assert.equal(recordKey("secret"), "/bootstrap/2bb80d537b1d");
    assert.equal(recordKey(""), "/bootstrap/e3b0c44298fc");
  });
});

describe("formatTimestamp()", () => {
  for (const [text, nanoseconds] of [
    ["2026-07-28T10:00:00.123456789Z", 1785232800123456789n],
    ["2026-07-28T10:00:00Z", 1785232800000000000n],
    ["2026-07-28T10:00:00.1Z", 1785232800100000000n],
    ["2026-07-28T10:00:00.000000001Z", 1785232800000000001n],
  ] as const) {
    test(`and parseTimestamp() agree on ${text}`, () => {
      assert.equal(formatTimestamp(nanoseconds), text);
      assert.equal(parseTimestamp(text), nanoseconds);
    });
  }
  test("is undone for other offsets and for Go's zero time", () => {
    assert.equal(parseTimestamp("2026-07-28T12:00:00.5+02:00"), 1785232800500000000n);
    assert.equal(parseTimestamp("2026-07-28T02:30:00-07:30"), 1785232800000000000n);
    assert.equal(parseTimestamp("0001-01-01T00:00:00Z"), 0n);
  });
  for (const text of ["", "yesterday", "2026-07-28", "2026-07-28T10:00:00", "2026-13-28T10:00:00Z"]) {
    test(`"${text}" is no time`, () => assert.equal(parseTimestamp(text), undefined));
  }
});

describe("parseContent()", () => {
  test("reads what formatContent() wrote, one line with one object", () => {
    const content = new Map([
      ["ClientCA", { content: Buffer.from("ca"), timestamp: 1785232800123456789n }],
      ["PasswdFile", { content: Buffer.alloc(0), timestamp: 1n }],
    ]);
    const text = formatContent(content);
    assert.equal(
      text.split("\n")[0],
      '{"ClientCA":{"Timestamp":"2026-07-28T10:00:00.123456789Z","Content":"Y2E="},"PasswdFile":{"Timestamp":"1970-01-01T00:00:00.000000001Z","Content":""}}',
    );
    assert.ok(text.endsWith("}\n"));
    assert.deepEqual(parseContent(text), content);
  });
  test("reads the old form without times, and null for empty", () => {
    assert.deepEqual(
      parseContent('{"ClientCA":"Y2E="}'),
      new Map([["ClientCA", { content: Buffer.from("ca"), timestamp: 0n }]]),
    );
    const text = '{"ClientCA":{"Timestamp":"2026-07-28T10:00:00Z","Content":null}}';
    assert.equal(parseContent(text).get("ClientCA")?.content.length, 0);
  });
  for (const text of [
    "",
    "[",
    "null",
    "3",
    '{"ClientCA":3}',
    '{"ClientCA":{"Content":"Y2E="}}',
    '{"ClientCA":{"Timestamp":"soon","Content":""}}',
  ]) {
    test(`refuses ${JSON.stringify(text)}`, () =>
      assert.throws(() => parseContent(text), { code: "ERR_BOOTSTRAP_MALFORMED" }));
  }
});

describe("bootstrapPaths()", () => {
  test("names thirteen files, and two more with secrets encryption", () => {
    assert.equal(bootstrapPaths("/s", false).size, 13);
    const paths = bootstrapPaths("/s", true);
    assert.equal(paths.size, 15);
    assert.equal(paths.get("EncryptionHash"), "/s/cred/encryption-state.json");
    assert.equal(paths.get("ETCDPeerCAKey"), "/s/tls/etcd/peer-ca.key");
  });
});
