import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  authorizationHeader,
  formatCredentials,
  formatToken,
  normalizeToken,
  parseServerUrl,
  parseToken,
  tokenHash,
  withUser,
  type Credentials,
} from "../src/index.ts";

const HASH = "0123456789abcdef".repeat(4);
const user = (name: string, password: string): Credentials => ({ kind: "user", user: name, password });
const bootstrap: Credentials = { kind: "bootstrap", id: "abc123", secret: "0123456789abcdef" };

describe("parseToken()", () => {
  for (const [text, caHash, credentials] of [
    ["secret", "", user("", "secret")],
    ["with:colons::inside", "", user("", "with:colons::inside")],
    [":leading", "", user("", ":leading")],
    ["abc123.0123456789abcdef", "", bootstrap],
    ["ABC123.0123456789abcdef", "", user("", "ABC123.0123456789abcdef")],
    [`K10${HASH}::server:secret`, HASH, user("server", "secret")],
    [`K10${HASH}::node:a:b::c`, HASH, user("node", "a:b::c")],
    [`K10${HASH}:::secret`, HASH, user("", "secret")],
    [`K10${HASH}::abc123.0123456789abcdef`, HASH, bootstrap],
    ["K10::server:secret", "", user("server", "secret")],
    ["K10server:secret", "", user("server", "secret")],
    ["K10abc123.0123456789abcdef", "", bootstrap],
    [`K10${HASH}::abc123.0123456789abcdef0`, HASH, undefined],
  ] as const) {
    test(`reads ${text.replace(HASH, "<hash>")}`, () => {
      if (credentials === undefined) assert.throws(() => parseToken(text), { code: "ERR_TOKEN_FORMAT" });
      else assert.deepEqual(parseToken(text), { caHash, credentials });
    });
  }

  for (const [text, code, words] of [
    ["", "ERR_TOKEN_EMPTY", /token must not be empty/],
    ["K10abc::server:secret", "ERR_TOKEN_HASH_LENGTH", /invalid token CA hash length/],
    [`K10${HASH}0::server:secret`, "ERR_TOKEN_HASH_LENGTH", /invalid token CA hash length/],
    [`K10${HASH}::server:`, "ERR_TOKEN_FORMAT", /invalid token format/],
    [`K10${HASH}::server`, "ERR_TOKEN_FORMAT", /invalid token format/],
    ["K10", "ERR_TOKEN_FORMAT", /invalid token format/],
    ["K10::", "ERR_TOKEN_FORMAT", /invalid token format/],
  ] as const) {
    test(`refuses "${text.replace(HASH, "<hash>")}" in upstream's words, without repeating it`, () => {
      assert.throws(
        () => parseToken(text),
        (error: Error & { code?: string; hint?: string }) => {
          assert.equal(error.code, code);
          assert.match(error.message, words);
          assert.ok(!error.message.includes("secret"));
          assert.ok(error.hint);
          return true;
        },
      );
    });
  }
});

describe("formatToken()", () => {
  test("is read back by parseToken()", () => {
    for (const credentials of [user("server", "a:b"), bootstrap]) {
      const text = formatToken(HASH, formatCredentials(credentials));
      assert.deepEqual(parseToken(text), { caHash: HASH, credentials });
    }
    assert.equal(formatToken(HASH, "server:pw"), `K10${HASH}::server:pw`);
  });
  test("is empty for empty credentials", () => assert.equal(formatToken(HASH, ""), ""));
});

describe("normalizeToken()", () => {
  for (const [text, password] of [
    ["secret", "secret"],
    [`K10${HASH}::server:secret`, "secret"],
    [`K10${HASH}::node:a:b`, "a:b"],
    ["a::b", "a::b"],
  ] as const) {
    test(`takes the password out of ${text.replace(HASH, "<hash>")}`, () =>
      assert.equal(normalizeToken(text), password));
  }
  for (const text of ["abc123.0123456789abcdef", `K10${HASH}::abc123.0123456789abcdef`, "", "K10x::a:b"]) {
    test(`refuses "${text.replace(HASH, "<hash>")}" for a server`, () => {
      assert.throws(() => normalizeToken(text), {
        code: "ERR_TOKEN_NOT_FOR_SERVERS",
        message:
          /failed to normalize server token; must be in format K10<CA-HASH>::<USERNAME>:<PASSWORD> or <PASSWORD>/,
      });
    });
  }
});

describe("tokenHash()", () => {
  test("is the first 12 hex digits of SHA-256", () => {
    assert.equal(tokenHash("secret"), "2bb80d537b1d");
    assert.equal(tokenHash(""), "e3b0c44298fc");
  });
});

describe("authorizationHeader()", () => {
  test("is Basic for users, Bearer for bootstrap tokens, and absent without a user", () => {
    assert.equal(authorizationHeader(user("node", "pass:word")), `Basic ${btoa("node:pass:word")}`);
    assert.equal(authorizationHeader(bootstrap), "Bearer abc123.0123456789abcdef");
    assert.equal(authorizationHeader(user("", "secret")), undefined);
  });
  test("follows withUser(), which leaves bootstrap tokens as they are", () => {
    const token = { caHash: HASH, credentials: user("server", "pw") };
    assert.deepEqual(withUser(token, "node").credentials, user("node", "pw"));
    assert.deepEqual(withUser({ caHash: "", credentials: bootstrap }, "node").credentials, bootstrap);
  });
});

describe("parseServerUrl()", () => {
  test("strips slashes at the end of the path", () => {
    assert.equal(parseServerUrl("https://host:6443///").href, "https://host:6443/");
    assert.equal(parseServerUrl("https://host:6443/a//").pathname, "/a");
  });
  for (const text of ["http://host:6443", "host:6443", "", "ftp://u:pw@host"]) {
    test(`refuses "${text}" without repeating a password`, () => {
      assert.throws(
        () => parseServerUrl(text),
        (error: Error & { code?: string }) => {
          assert.equal(error.code, "ERR_TOKEN_SERVER_URL");
          assert.match(error.message, /only https:\/\/ URLs are supported, invalid scheme/);
          assert.ok(!error.message.includes("pw"));
          return true;
        },
      );
    });
  }
});
