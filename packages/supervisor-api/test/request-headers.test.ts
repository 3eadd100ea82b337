import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { forwardedHeaders, returnedHeaders, type ForwardingFacts } from "../src/request-headers.ts";

const facts: ForwardingFacts = {
  method: "GET",
  identity: undefined,
  clientAddress: "192.0.2.7",
  hasBody: false,
  expectsContinue: false,
};
const forwarded = (headers: readonly string[], changes: Partial<ForwardingFacts> = {}) =>
  forwardedHeaders(headers, { ...facts, ...changes });

describe("forwardedHeaders()", () => {
  const forged = [
    "X-Remote-User",
    "x-remote-user",
    "X-REMOTE-GROUP",
    "X_Remote_User",
    "X-Remote_User",
    "X.Remote.Group",
    "XRemoteUser",
    "X-Remote-Extra-scopes",
    "X-Remote-Uid",
  ];
  for (const name of forged) {
    test(`drops ${name}`, () => {
      assert.deepEqual(forwarded([name, "system:admin"]), ["X-Forwarded-For", "192.0.2.7"]);
    });
  }

  test("sets the identity, one line per group, and nothing of what the client claimed", () => {
    const identity = { name: "jane", groups: ["dev", "qa"] };
    const sent = ["X-Remote-User", "root", "Connection", "X-Remote-User, x-remote-group", "X-Remote-Group", "x"];
    assert.deepEqual(forwarded(sent, { identity }), [
      ...["X-Forwarded-For", "192.0.2.7"],
      ...["X-Remote-User", "jane", "X-Remote-Group", "dev", "X-Remote-Group", "qa"],
    ]);
  });

  test("writes names as the bytes of UTF-8", () => {
    const sent = forwarded([], { identity: { name: "jürgen", groups: [] } });
    assert.equal(Buffer.from(sent.at(-1) ?? "", "latin1").toString("utf8"), "jürgen");
  });

  test("drops what concerns the client's connection only, and what Connection names", () => {
    const sent = ["Connection", "close, X-Hop", "Keep-Alive", "9", "X-Hop", "1", "TE", "trailers, gzip", "Accept", "a"];
    assert.deepEqual(forwarded(sent), ["Accept", "a", "Te", "trailers", "X-Forwarded-For", "192.0.2.7"]);
  });

  test("keeps Host although Connection names it", () => {
    assert.deepEqual(forwarded(["Host", "h", "Connection", "host"]).slice(0, 2), ["Host", "h"]);
  });

  test("appends to X-Forwarded-For in one line", () => {
    const sent = forwarded(["X-Forwarded-For", "10.0.0.1", "x-forwarded-for", "10.0.0.2"]);
    assert.deepEqual(sent, ["X-Forwarded-For", "10.0.0.1, 10.0.0.2, 192.0.2.7"]);
  });

  test("passes a bearer token and repeated headers untouched", () => {
    const sent = ["Authorization", "Bearer t", "Accept", "a", "Accept", "b"];
    assert.deepEqual(forwarded(sent).slice(0, 6), sent);
  });

  const framings = [
    { name: "a known length", sent: ["Content-Length", "5"], hasBody: true, framing: ["Content-Length", "5"] },
    {
      name: "an empty body that is stated",
      sent: ["Content-Length", "0"],
      hasBody: false,
      framing: ["Content-Length", "0"],
    },
    {
      name: "chunks",
      sent: ["Transfer-Encoding", "chunked"],
      hasBody: true,
      framing: ["Transfer-Encoding", "chunked"],
    },
    { name: "an unknown length", sent: [], hasBody: true, framing: ["Transfer-Encoding", "chunked"] },
    { name: "no body", sent: [], hasBody: false, framing: [] },
    { name: "no body of a POST", method: "POST", sent: [], hasBody: false, framing: ["Content-Length", "0"] },
  ];
  for (const { name, method = "GET", sent, hasBody, framing } of framings) {
    test(`frames the body for ${name}`, () => {
      assert.deepEqual(forwarded(sent, { hasBody, method }).slice(2), framing);
    });
  }

  test("states the protocol of an upgrade itself", () => {
    const sent = ["Connection", "keep-alive, Upgrade", "Upgrade", "SPDY/3.1", "Sec-WebSocket-Key", "k"];
    assert.deepEqual(forwarded(sent, { upgrade: "SPDY/3.1", method: "POST" }), [
      ...["Sec-WebSocket-Key", "k", "X-Forwarded-For", "192.0.2.7"],
      ...["Connection", "Upgrade", "Upgrade", "SPDY/3.1", "Content-Length", "0"],
    ]);
  });
});

describe("returnedHeaders()", () => {
  test("drops what concerns the connection to kube-apiserver and keeps the rest in order", () => {
    const sent = [
      "Warning",
      "a",
      "Transfer-Encoding",
      "chunked",
      "warning",
      "b",
      "Connection",
      "x-a",
      "X-A",
      "1",
      "Trailer",
      "T",
    ];
    assert.deepEqual(returnedHeaders(sent), ["Warning", "a", "warning", "b", "Trailer", "T"]);
  });
});
