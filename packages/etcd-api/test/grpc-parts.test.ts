import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { ServerStream } from "@k3s/http2";
import { Backlog } from "../src/backlog.ts";
import { CallDeadlines } from "../src/call-deadlines.ts";
import { MessageReader, messagePrefix } from "../src/grpc-framing.ts";
import { percentEncode } from "../src/grpc-status.ts";
import { parseGrpcTimeout } from "../src/grpc-timeout.ts";
import { UnaryCall } from "../src/grpc-unary-call.ts";

describe("MessageReader", () => {
  const messages = [0, 1, 4, 5, 6, 100, 3000].map((length) => Buffer.alloc(length, `${length}`));
  const bytes = Buffer.concat(messages.flatMap((message) => [messagePrefix(message.length), message]));

  for (const size of [1, 2, 5, 6, 7, 104, 10_000])
    for (const keeps of [true, false])
      test(`finds the messages in pieces of ${size} bytes, ${keeps ? "which are used again" : "as they came"}`, () => {
        const reader = new MessageReader(3000);
        const found: Buffer[] = [];
        for (let at = 0; at < bytes.length; at += size) {
          const piece = Buffer.from(bytes.subarray(at, at + size));
          reader.push(piece);
          if (keeps) {
            reader.keep();
            piece.fill("x");
          }
          for (let message = reader.next(); message !== undefined; message = reader.next()) found.push(message);
        }
        assert.deepEqual(found, messages);
        assert.equal(reader.hasRest, false);
      });

  test("finds messages that waited for each other", () => {
    const reader = new MessageReader(3000);
    const found: Buffer[] = [];
    for (let at = 0; at < bytes.length; at += 50) {
      reader.push(bytes.subarray(at, at + 50));
      reader.keep();
      if (at % 400 === 0) found.push(...[reader.next() ?? []].flat());
    }
    for (let message = reader.next(); message !== undefined; message = reader.next()) found.push(message);
    assert.deepEqual(found, messages);
  });

  test("takes no more memory for bytes that come one by one", () => {
    const readers: MessageReader[] = [];
    const before = process.memoryUsage();
    for (let i = 0; i < 4; i++) {
      const reader = new MessageReader(1 << 20);
      readers.push(reader);
      reader.push(messagePrefix(1 << 20));
      for (let byte = 0; byte < 1 << 19; byte++) {
        reader.push(Buffer.of(byte % 256));
        reader.keep();
      }
    }
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    const grown = heapUsed - before.heapUsed + arrayBuffers - before.arrayBuffers;
    assert.ok(grown < 64 << 20, `${readers.length} halves of a MiB take ${grown} bytes`); // an object for each byte took 300 MB
  });

  for (const pieces of [[5], [1, 4]])
    test(`refuses a message by its prefix alone, in ${pieces.length} pieces`, () => {
      const reader = new MessageReader(99);
      let rest = messagePrefix(100);
      assert.throws(
        () => {
          for (const size of pieces) {
            reader.push(rest.subarray(0, size));
            reader.next();
            rest = rest.subarray(size);
          }
        },
        { code: 8 },
      );
    });

  test("knows that a message is unfinished", () => {
    const reader = new MessageReader(99);
    reader.push(Buffer.from([0, 0]));
    assert.deepEqual([reader.next(), reader.hasRest], [undefined, true]);
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

describe("UnaryCall", () => {
  test("keeps nothing of what came in together with its request", () => {
    const requests: Buffer[] = [];
    const nowhere = { sendHead: () => undefined, sendData: () => true, end: () => undefined };
    const stream: ServerStream = {
      id: 1,
      backlogBytes: 0,
      ...nowhere,
      reset: () => undefined,
      credit: () => undefined,
    };
    const handle = (request: Buffer) => {
      requests.push(request);
      return Promise.resolve(request);
    };
    const piece = Buffer.alloc(1 << 20, "x");
    const message = Buffer.concat([messagePrefix(20), Buffer.alloc(20, "y")]);
    message.copy(piece);
    const call = new UnaryCall(stream, handle, { deadlines: new CallDeadlines(), backlog: new Backlog(1 << 20) });
    call.data(piece.subarray(0, message.length));
    call.end();
    assert.deepEqual(requests, [Buffer.alloc(20, "y")]);
    assert.ok((requests[0]?.buffer.byteLength ?? 0) < piece.length);
  });
});
