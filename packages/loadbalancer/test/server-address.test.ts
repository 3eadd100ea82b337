import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { formatAddress, formatServerUrl, parseAddress, parseServerUrl } from "../src/server-address.ts";

describe("parseServerUrl()", () => {
  for (const [text, url] of [
    ["https://10.0.0.1:6443", "https://10.0.0.1:6443"],
    ["https://Server.example/", "https://server.example:443"],
    ["http://server", "http://server:80"],
    ["https://[2001:DB8:0::1]:6443/path", "https://[2001:db8::1]:6443"],
  ] as const)
    test(`takes ${text} as ${url}`, () => assert.equal(formatServerUrl(parseServerUrl(text)), url));

  for (const text of ["", "10.0.0.1:6443", "server", "ftp://server", "https://", "https://server:99999"])
    test(`refuses "${text}"`, () =>
      assert.throws(() => parseServerUrl(text), {
        code: "ERR_LB_SERVER_URL",
        message: `Cannot use server URL "${text}": it names no host and port`,
      }));
});

describe("parseAddress()", () => {
  for (const text of ["10.0.0.1:6443", "server.example:1", "[2001:db8::1]:65535"])
    test(`takes ${text}`, () => {
      const parsed = parseAddress(text);
      assert.ok(parsed !== undefined);
      assert.equal(formatAddress(parsed), text);
    });

  for (const text of [
    "",
    "server",
    ":6443",
    "server:0",
    "server:65536",
    "a:1:2",
    "2001:db8::1:1",
    "[a]:1",
    "a b:1",
    "a@b:1",
  ])
    test(`refuses "${text}"`, () => assert.equal(parseAddress(text), undefined));
});
