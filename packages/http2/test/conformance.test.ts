import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Flag, FrameType, PREFACE } from "../src/frame.ts";
import { block, frame, Peer, request, send } from "./support/peer.ts";
import { startServer } from "./support/server.ts";

const PROTOCOL_ERROR = 1;
const FLOW_CONTROL_ERROR = 3;
const STREAM_CLOSED = 5;
const FRAME_SIZE_ERROR = 6;
const REFUSED_STREAM = 7;
const COMPRESSION_ERROR = 9;

const NONE = Buffer.alloc(0);
const open = (streamId: number, path = "/hold") => send.headers(streamId, request(path));
const complete = (streamId: number, path = "/hold") => send.headers(streamId, request(path), { end: true });
const raw = (type: number, flags: number, streamId: number) => (payload: Buffer) =>
  frame({ type, flags, streamId, payload });
const part = (fields: readonly (readonly [string, string])[], from: number, to?: number) =>
  block(fields).subarray(from, to);

/** Ends of the connection: a name with its section of RFC 9113, what a client sends after the prefaces, the code of GOAWAY. */
const connectionErrors: readonly (readonly [name: string, sent: readonly Buffer[], code: number])[] = [
  [
    "4.2: DATA larger than SETTINGS_MAX_FRAME_SIZE",
    [open(1), frame({ streamId: 1, length: 16_385 })],
    FRAME_SIZE_ERROR,
  ],
  ["4.2: HEADERS larger than that", [frame({ type: 1, streamId: 1, length: 16_385 })], FRAME_SIZE_ERROR],
  ["4.3: a header block that cannot be decoded", [raw(1, 5, 1)(Buffer.of(0x80))], COMPRESSION_ERROR],
  [
    "4.3: PRIORITY inside a header section",
    [raw(1, 0, 1)(part(request("/"), 0, 4)), raw(2, 0, 1)(Buffer.alloc(5))],
    PROTOCOL_ERROR,
  ],
  [
    "4.3: HEADERS of another stream inside a header section",
    [raw(1, 0, 1)(part(request("/"), 0, 4)), complete(3)],
    PROTOCOL_ERROR,
  ],
  ["5.1: DATA on an idle stream", [send.data(1, NONE)], PROTOCOL_ERROR],
  ["5.1: RST_STREAM on an idle stream", [send.reset(1)], PROTOCOL_ERROR],
  ["5.1: WINDOW_UPDATE on an idle stream", [send.windowUpdate(1, 100)], PROTOCOL_ERROR],
  ["5.1: CONTINUATION on an idle stream", [raw(9, 4, 1)(block(request("/")))], PROTOCOL_ERROR],
  ["5.1.1: an even stream id", [complete(2)], PROTOCOL_ERROR],
  ["5.1.1: a stream id lower than before", [complete(5), complete(3)], STREAM_CLOSED],
  ["6.1: DATA outside a stream", [send.data(0, NONE)], PROTOCOL_ERROR],
  [
    "6.1: DATA with padding longer than itself",
    [open(1), raw(0, Flag.padded, 1)(Buffer.from([5, 0, 0]))],
    PROTOCOL_ERROR,
  ],
  ["6.1: padded DATA without a byte", [open(1), raw(0, Flag.padded, 1)(NONE)], FRAME_SIZE_ERROR],
  ["6.2: HEADERS outside a stream", [raw(1, 5, 0)(block(request("/")))], PROTOCOL_ERROR],
  ["6.2: HEADERS with padding longer than itself", [raw(1, 5 | Flag.padded, 1)(Buffer.from([9, 0]))], PROTOCOL_ERROR],
  ["6.2: HEADERS shorter than its priority", [raw(1, 5 | Flag.priority, 1)(Buffer.alloc(3))], FRAME_SIZE_ERROR],
  ["6.3: PRIORITY outside a stream", [raw(2, 0, 0)(Buffer.alloc(5))], PROTOCOL_ERROR],
  ["6.3: PRIORITY of 4 bytes", [raw(2, 0, 1)(Buffer.alloc(4))], FRAME_SIZE_ERROR],
  ["6.4: RST_STREAM outside a stream", [send.reset(0)], PROTOCOL_ERROR],
  ["6.4: RST_STREAM of 3 bytes", [open(1), raw(3, 0, 1)(Buffer.alloc(3))], FRAME_SIZE_ERROR],
  ["6.5: an acknowledgement with settings", [raw(4, Flag.ack, 0)(Buffer.alloc(6))], FRAME_SIZE_ERROR],
  ["6.5: SETTINGS on a stream", [raw(4, 0, 1)(NONE)], PROTOCOL_ERROR],
  ["6.5: SETTINGS of 5 bytes", [raw(4, 0, 0)(Buffer.alloc(5))], FRAME_SIZE_ERROR],
  ["6.5.2: ENABLE_PUSH of 2", [send.settings([2, 2])], PROTOCOL_ERROR],
  ["6.5.2: INITIAL_WINDOW_SIZE of 2^31", [send.settings([4, 2 ** 31])], FLOW_CONTROL_ERROR],
  ["6.5.2: MAX_FRAME_SIZE of 16383", [send.settings([5, 16_383])], PROTOCOL_ERROR],
  ["6.5.2: MAX_FRAME_SIZE of 2^24", [send.settings([5, 2 ** 24])], PROTOCOL_ERROR],
  ["6.6: PUSH_PROMISE", [raw(5, 4, 1)(Buffer.alloc(4))], PROTOCOL_ERROR],
  ["6.7: PING on a stream", [raw(6, 0, 1)(Buffer.alloc(8))], PROTOCOL_ERROR],
  ["6.7: PING of 6 bytes", [raw(6, 0, 0)(Buffer.alloc(6))], FRAME_SIZE_ERROR],
  ["6.8: GOAWAY on a stream", [raw(7, 0, 1)(Buffer.alloc(8))], PROTOCOL_ERROR],
  ["6.8: GOAWAY of 4 bytes", [raw(7, 0, 0)(Buffer.alloc(4))], FRAME_SIZE_ERROR],
  ["6.9: WINDOW_UPDATE by 0 of the connection", [send.windowUpdate(0, 0)], PROTOCOL_ERROR],
  ["6.9: WINDOW_UPDATE of 3 bytes", [raw(8, 0, 0)(Buffer.alloc(3))], FRAME_SIZE_ERROR],
  [
    "6.9.1: a window of the connection beyond 2^31-1",
    [send.windowUpdate(0, 2 ** 31 - 1), send.windowUpdate(0, 1)],
    FLOW_CONTROL_ERROR,
  ],
  [
    "6.9.2: a setting that moves a stream's window beyond that",
    [open(1), send.windowUpdate(1, 2 ** 31 - 65_536), send.settings([4, 65_536])],
    FLOW_CONTROL_ERROR,
  ],
  ["6.10: CONTINUATION outside a stream", [raw(1, 0, 1)(part(request("/"), 0, 4)), raw(9, 4, 0)(NONE)], PROTOCOL_ERROR],
  [
    "6.10: CONTINUATION of another stream",
    [raw(1, 0, 1)(part(request("/"), 0, 4)), raw(9, 4, 3)(NONE)],
    PROTOCOL_ERROR,
  ],
  ["6.10: CONTINUATION after the end of the header section", [complete(1), raw(9, 4, 1)(NONE)], PROTOCOL_ERROR],
];

/** Ends of stream 1: what a client sends after the prefaces, the code of RST_STREAM. The connection goes on. */
const streamErrors: readonly (readonly [name: string, sent: readonly Buffer[], code: number])[] = [
  ["5.1: DATA after the end of the request", [complete(1), send.data(1, Buffer.from("x"))], STREAM_CLOSED],
  ["5.1: HEADERS after the end of the request", [complete(1), complete(1)], STREAM_CLOSED],
  ["5.1: DATA after RST_STREAM", [open(1), send.reset(1), send.data(1, Buffer.from("x"))], STREAM_CLOSED],
  ["6.9: WINDOW_UPDATE by 0", [open(1), send.windowUpdate(1, 0)], PROTOCOL_ERROR],
  ["6.9.1: a window beyond 2^31-1", [open(1), send.windowUpdate(1, 2 ** 31 - 1)], FLOW_CONTROL_ERROR],
  ["8.1: trailers that do not end the stream", [open(1), send.headers(1, [["x-a", "b"]])], PROTOCOL_ERROR],
  ["8.1: a pseudo-header field in trailers", [open(1), complete(1)], PROTOCOL_ERROR],
  [
    "8.1.1: a body shorter than announced",
    [send.headers(1, [...request("/hold"), ["content-length", "4"]]), send.data(1, Buffer.from("abc"), { end: true })],
    PROTOCOL_ERROR,
  ],
  [
    "8.1.1: a body longer than announced",
    [send.headers(1, [...request("/hold"), ["content-length", "1"]]), send.data(1, Buffer.from("ab"))],
    PROTOCOL_ERROR,
  ],
  [
    "8.1.1: no body where one is announced",
    [send.headers(1, [...request("/hold"), ["content-length", "1"]], { end: true })],
    PROTOCOL_ERROR,
  ],
  [
    "8.1.1: an announced length that is none",
    [send.headers(1, [...request("/hold"), ["content-length", "x"]])],
    PROTOCOL_ERROR,
  ],
  ["8.2: an upper case name", [send.headers(1, [...request("/hold"), ["X-A", "b"]])], PROTOCOL_ERROR],
  ["8.2: a name with a space", [send.headers(1, [...request("/hold"), ["x a", "b"]])], PROTOCOL_ERROR],
  ["8.2: a name with a colon", [send.headers(1, [...request("/hold"), ["x:a", "b"]])], PROTOCOL_ERROR],
  ["8.2: an empty name", [send.headers(1, [...request("/hold"), ["", "b"]])], PROTOCOL_ERROR],
  ["8.2: a line break in a value", [send.headers(1, [...request("/hold"), ["x-a", "b\nc"]])], PROTOCOL_ERROR],
  ["8.2: a value with a space at its end", [send.headers(1, [...request("/hold"), ["x-a", "b "]])], PROTOCOL_ERROR],
  [
    "8.2.2: a field of the connection",
    [send.headers(1, [...request("/hold"), ["connection", "close"]])],
    PROTOCOL_ERROR,
  ],
  ["8.2.2: te that is not trailers", [send.headers(1, [...request("/hold"), ["te", "gzip"]])], PROTOCOL_ERROR],
  ["8.3: an unknown pseudo-header field", [send.headers(1, [...request("/hold"), [":test", "x"]])], PROTOCOL_ERROR],
  [
    "8.3: a pseudo-header field of answers",
    [send.headers(1, [...request("/hold"), [":status", "200"]])],
    PROTOCOL_ERROR,
  ],
  ["8.3: a pseudo-header field after others", [send.headers(1, [["x-a", "b"], ...request("/hold")])], PROTOCOL_ERROR],
  ["8.3.1: no method", [send.headers(1, request("/hold").slice(1))], PROTOCOL_ERROR],
  ["8.3.1: no scheme", [send.headers(1, request("/hold").toSpliced(1, 1))], PROTOCOL_ERROR],
  ["8.3.1: no path", [send.headers(1, request("/hold").toSpliced(2, 1))], PROTOCOL_ERROR],
  ["8.3.1: an empty path", [send.headers(1, request(""))], PROTOCOL_ERROR],
  ["8.3.1: two methods", [send.headers(1, [[":method", "GET"], ...request("/hold")])], PROTOCOL_ERROR],
];

/** What must work: what a client sends after the prefaces. The last thing it sends completes stream 1. */
const accepted: readonly (readonly [name: string, sent: readonly Buffer[]])[] = [
  ["4.1: a frame of unknown type", [raw(200, 255, 0)(Buffer.from("any")), complete(1, "/echo")]],
  [
    "4.1: unknown flags and the reserved bit",
    [frame({ type: 1, flags: 5 | 0x92, streamId: 2 ** 31 + 1, payload: block(request("/echo")) })],
  ],
  [
    "5.3: priority in HEADERS, on itself too",
    [raw(1, 5 | Flag.priority, 1)(Buffer.concat([Buffer.from([0, 0, 0, 1, 9]), block(request("/echo"))]))],
  ],
  ["5.3: PRIORITY of an idle stream", [raw(2, 0, 9)(Buffer.alloc(5)), complete(1, "/echo")]],
  ["6.1: padding", [open(1, "/echo"), raw(0, Flag.padded | Flag.endStream, 1)(Buffer.from([2, 0x61, 0, 0]))]],
  [
    "6.2: padding in HEADERS",
    [raw(1, 5 | Flag.padded, 1)(Buffer.concat([Buffer.of(3), block(request("/echo")), Buffer.alloc(3)]))],
  ],
  ["6.5: unknown settings", [send.settings([99, 1], [6, 10]), complete(1, "/echo")]],
  ["6.8: GOAWAY of the client", [open(1, "/echo"), raw(7, 0, 0)(Buffer.alloc(8)), send.data(1, NONE, { end: true })]],
  [
    "6.10: a header section in pieces, an empty one among them",
    [
      raw(1, 1, 1)(part(request("/echo"), 0, 7)),
      raw(9, 0, 1)(NONE),
      raw(9, 0, 1)(part(request("/echo"), 7, 9)),
      raw(9, 4, 1)(part(request("/echo"), 9)),
    ],
  ],
  [
    "8.1: trailers of a request",
    [open(1, "/echo"), send.data(1, Buffer.from("a")), send.headers(1, [["x-end", "1"]], { end: true })],
  ],
  [
    "8.1.1: a body as long as announced",
    [send.headers(1, [...request("/echo"), ["content-length", "3"]]), send.data(1, Buffer.from("abc"), { end: true })],
  ],
  ["8.2.2: te: trailers", [send.headers(1, [...request("/echo"), ["te", "trailers"]], { end: true })]],
];

describe("Connection: RFC 9113, errors of a connection", () => {
  for (const [name, sent, code] of connectionErrors)
    test(name, async (t) => {
      const { port } = await startServer(t);
      const peer = await Peer.open(t, port);
      peer.write(...sent);
      assert.equal((await peer.failure()).code, code);
    });

  test("3.4: the first frame is not SETTINGS", async (t) => {
    const { port } = await startServer(t);
    const peer = await Peer.connect(t, port);
    peer.write(PREFACE, send.ping());
    assert.equal((await peer.failure()).code, PROTOCOL_ERROR);
  });

  test("3.4: something else than a preface", async (t) => {
    const { port } = await startServer(t);
    const peer = await Peer.connect(t, port);
    peer.write(Buffer.from("GET / HTTP/1.1\r\nhost: test\r\n\r\n"));
    assert.equal((await peer.failure()).code, PROTOCOL_ERROR);
  });

  test("5.1: an error aborts every stream", async (t) => {
    const { port, aborted } = await startServer(t);
    const peer = await Peer.open(t, port);
    peer.write(open(1), open(3), send.data(0, NONE));
    await peer.failure();
    assert.deepEqual(aborted, ["/hold", "/hold"]);
  });
});

describe("Connection: RFC 9113, errors of a stream", () => {
  for (const [name, sent, code] of streamErrors)
    test(name, async (t) => {
      const { port } = await startServer(t);
      const peer = await Peer.open(t, port);
      peer.write(...sent);
      const reset = await peer.take(FrameType.rstStream);
      assert.deepEqual([reset.streamId, reset.payload.readUInt32BE(0)], [1, code]);
      await peer.assertAlive(3);
    });

  test("5.1.2: a stream beyond the limit of streams at a time is refused", async (t) => {
    const { port } = await startServer(t, { limits: { streamsMax: 2 } });
    const peer = await Peer.open(t, port);
    peer.write(open(1), open(3), open(5));
    const reset = await peer.take(FrameType.rstStream);
    assert.deepEqual([reset.streamId, reset.payload.readUInt32BE(0)], [5, REFUSED_STREAM]);
    peer.write(send.reset(1));
    await peer.assertAlive(7);
  });
});

describe("Connection: RFC 9113, what a client may do", () => {
  for (const [name, sent] of accepted)
    test(name, async (t) => {
      const { port } = await startServer(t);
      const peer = await Peer.open(t, port);
      peer.write(...sent);
      const { head, trailers } = await peer.answer(1);
      assert.equal(head.get(":status"), "200");
      assert.equal(trailers.get("x-end"), "yes");
    });

  test("5.1: frames may come late for a stream that we have ended", async (t) => {
    const { port, held } = await startServer(t);
    const peer = await Peer.open(t, port);
    peer.write(open(1), send.ping());
    await peer.take(FrameType.ping);
    held[0]?.reset(8);
    await peer.take(FrameType.rstStream);
    peer.write(
      send.data(1, Buffer.from("late")),
      send.windowUpdate(1, 9),
      send.headers(1, [["x-a", "b"]], { end: true }),
      send.reset(1),
    );
    await peer.assertAlive(3);
  });

  test("5.1: trailers that come after we have ended a thousand other streams reset theirs, no other", async (t) => {
    const { port, held } = await startServer(t);
    const peer = await Peer.open(t, port);
    for (let i = 0; i < 1100; i++) peer.write(open(2 * i + 1));
    peer.write(send.ping());
    await peer.take(FrameType.ping);
    for (const stream of held) stream.end();
    peer.write(send.ping());
    await peer.take(FrameType.ping);
    peer.takeAll(undefined);
    peer.write(send.headers(1, [["x-a", "b"]], { end: true }));
    const { type, payload } = await peer.takeOf(1);
    assert.deepEqual([type, payload.readUInt32BE(0)], [FrameType.rstStream, STREAM_CLOSED]);
    await peer.assertAlive(3001);
  });

  test("6.5: settings are acknowledged, and announced", async (t) => {
    const { port } = await startServer(t, {
      limits: { streamsMax: 77, streamWindowBytes: 1 << 20, headerListBytesMax: 9999 },
    });
    const peer = await Peer.connect(t, port);
    peer.write(PREFACE, send.settings());
    const { payload } = await peer.take(FrameType.settings);
    assert.equal(payload.toString("hex"), "00030000004d" + "000400100000" + "00060000270f");
    assert.equal((await peer.take(FrameType.settings)).flags, Flag.ack);
  });

  test("6.7: a ping is answered with its content", async (t) => {
    const { port } = await startServer(t);
    const peer = await Peer.open(t, port);
    peer.write(send.ping("abcdefgh"));
    const { flags, payload } = await peer.take(FrameType.ping);
    assert.deepEqual([flags, payload.toString()], [Flag.ack, "abcdefgh"]);
  });

  test("the ping by which grpc-go measures goes behind what is sent next, and alone where there is nothing", async (t) => {
    const anyTime = { intervalMinMs: 0, idleIntervalMinMs: 0, strikesMax: 0 };
    const { port } = await startServer(t, { limits: { pings: anyTime } });
    const peer = await Peer.open(t, port);
    const answered = async () => (await peer.take(FrameType.ping)).payload.toString("hex");
    const measure = "02041010090e0707";
    const pings = ["one", "two"].map((text) => text.padEnd(8));
    peer.write(...[measure, measure].map((hex) => send.ping(hex, "hex")), ...pings.map((text) => send.ping(text)));
    const order = [await answered(), await answered(), await answered(), await answered()];
    assert.deepEqual(order, [measure, ...pings.map((text) => Buffer.from(text).toString("hex")), measure]);
    peer.write(send.ping(measure, "hex"));
    assert.equal(await answered(), measure);
  });

  test("8.1: an answer before the end of the request asks the client to send no more", async (t) => {
    const { port, held } = await startServer(t);
    const peer = await Peer.open(t, port);
    peer.write(open(1), send.ping());
    await peer.take(FrameType.ping);
    held[0]?.end();
    assert.equal((await peer.take(FrameType.data)).flags, Flag.endStream);
    assert.equal((await peer.take(FrameType.rstStream)).payload.readUInt32BE(0), 0);
  });
});
