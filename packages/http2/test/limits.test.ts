import assert from "node:assert/strict";
import { once } from "node:events";
import { duplexPair } from "node:stream";
import { describe, test } from "node:test";
import { sleep } from "@k3s/async";
import { until } from "@k3s/testkit";
import { Flag, FrameType, PREFACE } from "../src/frame.ts";
import { block, frame, Peer, request, send } from "./support/peer.ts";
import { startServer } from "./support/server.ts";

const PROTOCOL_ERROR = 1;
const REFUSED_STREAM = 7;
const ENHANCE_YOUR_CALM = 11;
const NONE = Buffer.alloc(0);
const FEW = { burst: 50, perSecond: 0 };

const open = (streamId: number) => send.headers(streamId, request("/hold"));
const times = (count: number, make: (i: number) => Buffer) => Array.from({ length: count }, (_, i) => make(i));

/** What a client may send often, and not for ever: one frame of each. */
const floods: readonly (readonly [name: string, flood: (i: number) => Buffer])[] = [
  ["SETTINGS", () => send.settings()],
  ["acknowledged SETTINGS", () => frame({ type: FrameType.settings, flags: Flag.ack })],
  ["PRIORITY", () => frame({ type: FrameType.priority, streamId: 1, payload: Buffer.alloc(5) })],
  ["empty DATA", () => send.data(1, NONE)],
  ["frames of unknown type", () => frame({ type: 77 })],
  ["answers to pings", () => frame({ type: FrameType.ping, flags: Flag.ack, payload: Buffer.alloc(8) })],
  ["GOAWAY", () => frame({ type: FrameType.goaway, payload: Buffer.alloc(8) })],
];

describe("Connection: floods", () => {
  for (const [name, flood] of floods)
    test(`of ${name} end it`, async (t) => {
      const { port } = await startServer(t, { limits: { idleFrames: FEW } });
      const peer = await Peer.open(t, port);
      peer.write(open(1), ...times(40, flood), send.ping());
      await peer.take(FrameType.ping);
      peer.write(...times(40, flood));
      assert.equal((await peer.failure()).code, ENHANCE_YOUR_CALM);
    });

  test("of empty CONTINUATION end it within one header section", async (t) => {
    const { port, heads } = await startServer(t);
    const peer = await Peer.open(t, port);
    const bytes = block(request("/echo"));
    peer.write(frame({ type: FrameType.headers, streamId: 1, payload: bytes.subarray(0, 5) }));
    peer.write(...times(200, () => frame({ type: FrameType.continuation, streamId: 1 })));
    assert.deepEqual(await peer.failure(), { code: ENHANCE_YOUR_CALM, text: "header section too large" });
    assert.equal(heads.length, 0);
  });

  test("of CONTINUATION end it at the size of a header section", async (t) => {
    const { port } = await startServer(t, { limits: { headerListBytesMax: 40_000 } });
    const peer = await Peer.open(t, port);
    peer.write(frame({ type: FrameType.headers, streamId: 1, payload: Buffer.alloc(16_384) }));
    peer.write(...times(2, () => frame({ type: FrameType.continuation, streamId: 1, payload: Buffer.alloc(16_384) })));
    assert.equal((await peer.failure()).code, ENHANCE_YOUR_CALM);
  });

  test("of streams that are reset at once end it", async (t) => {
    const { port } = await startServer(t, { limits: { resets: FEW } });
    const peer = await Peer.open(t, port);
    const openAndReset = (i: number) => Buffer.concat([open(2 * i + 1), send.reset(2 * i + 1)]);
    peer.write(...times(40, openAndReset), send.ping());
    await peer.take(FrameType.ping);
    peer.write(...times(80, (i) => openAndReset(i + 40)));
    assert.equal((await peer.failure()).code, ENHANCE_YOUR_CALM);
  });

  test("of requests that are malformed end it", async (t) => {
    const { port } = await startServer(t, { limits: { resets: FEW } });
    const peer = await Peer.open(t, port);
    peer.write(...times(80, (i) => send.headers(2 * i + 1, [[":method", "GET"]])));
    assert.equal((await peer.failure()).code, ENHANCE_YOUR_CALM);
  });

  test("of streams that are reset start no more work than there may be streams", async (t) => {
    const work = Promise.withResolvers<void>();
    const { port, heads } = await startServer(t, { limits: { streamsMax: 10 }, work: work.promise });
    const peer = await Peer.open(t, port);
    peer.write(...times(15, (i) => Buffer.concat([open(2 * i + 1), send.reset(2 * i + 1)])), send.ping());
    await peer.take(FrameType.ping);
    assert.equal(heads.length, 10);
    const refused = peer.takeAll(undefined).filter(({ type }) => type === FrameType.rstStream);
    assert.deepEqual(
      refused.map(({ payload }) => payload.readUInt32BE(0)),
      times(5, () => NONE).map(() => REFUSED_STREAM),
    );
    work.resolve();
    await until("the work is over", async () => {
      const id = 2 * heads.length + 101;
      peer.write(send.headers(id, request("/echo"), { end: true }));
      return (await peer.takeOf(id)).type === FrameType.headers;
    });
  });

  test("of requests whose streams end before the work starts no more of it than there may be streams", async (t) => {
    const work = Promise.withResolvers<void>();
    const { port, held } = await startServer(t, { limits: { streamsMax: 10 }, work: work.promise });
    const peer = await Peer.open(t, port);
    peer.write(...times(10, (i) => open(2 * i + 1)), send.ping());
    await peer.take(FrameType.ping);
    for (const stream of held) stream.end();
    peer.write(open(21));
    assert.equal((await peer.takeOf(21)).payload.readUInt32BE(0), REFUSED_STREAM);
    work.resolve();
    await until("the work is over", async () => {
      peer.write(send.headers(31, request("/echo"), { end: true }));
      return (await peer.takeOf(31)).type === FrameType.headers;
    });
  });

  test("of bodies that are still worked on end with the limit of unread bytes, though their streams are reset", async (t) => {
    const work = Promise.withResolvers<void>();
    const { port } = await startServer(t, { limits: { unreadBytesMax: 100_000 }, work: work.promise });
    const peer = await Peer.open(t, port);
    const body = (streamId: number) => times(5, () => send.data(streamId, Buffer.alloc(12_000)));
    peer.write(open(1), ...body(1), send.reset(1), open(3), ...body(3));
    const reset = await peer.take(FrameType.rstStream);
    assert.deepEqual([reset.streamId, reset.payload.readUInt32BE(0)], [3, ENHANCE_YOUR_CALM]);
    work.resolve();
    await peer.assertAlive(5);
    peer.write(open(7), ...body(7));
    await peer.assertAlive(9);
    assert.deepEqual(peer.takeAll(7), []); // there was room again
  });

  test("of pings end it, unless answers are sent in between", async (t) => {
    const { port } = await startServer(t);
    const peer = await Peer.open(t, port);
    peer.write(open(1));
    for (let i = 0; i < 10; i++) {
      await peer.assertAlive(2 * i + 3);
      peer.write(send.ping());
      await peer.take(FrameType.ping);
    }
    peer.write(...times(4, () => send.ping()));
    assert.deepEqual(await peer.failure(), { code: ENHANCE_YOUR_CALM, text: "too_many_pings" });
  });

  test("of pings whose answers nobody reads end it", async (t) => {
    const { port, http2 } = await startServer(t, {
      limits: { pings: { intervalMinMs: 0, idleIntervalMinMs: 0, strikesMax: 0 } },
    });
    const peer = await Peer.open(t, port);
    peer.socket.pause();
    const pings = Buffer.concat(times(10_000, () => send.ping()));
    const closed = once(peer.socket, "close").catch(() => undefined);
    while (http2.connectionCount > 0)
      if (!peer.socket.write(pings)) await Promise.race([once(peer.socket, "drain").catch(() => undefined), closed]);
  });
});

describe("Connection: header sections that are too large", () => {
  const long = (count: number) => Array.from({ length: count }, (_, i) => [`x-${i}`, "v".repeat(100)] as const);

  test("are answered with 431, and the connection goes on", async (t) => {
    const { port, heads } = await startServer(t, { limits: { headerListBytesMax: 10_000 } });
    const peer = await Peer.open(t, port);
    peer.write(send.headers(1, [...request("/echo"), ...long(80)], { end: true }));
    assert.equal((await peer.answer(1)).head.get(":status"), "431");
    peer.write(send.headers(3, [...request("/echo"), ...long(60)], { end: true }));
    assert.equal((await peer.answer(3)).head.get(":status"), "200");
    assert.equal(heads.length, 1);
  });

  test("cost nothing when they are made of references", async (t) => {
    const { port } = await startServer(t);
    const peer = await Peer.open(t, port);
    const value = Buffer.concat([Buffer.from([0x40, 1, 0x61, 127, 0xa1, 0x1e]), Buffer.alloc(4000, "v")]); // a: 4000 times v
    const bomb = Buffer.concat([block(request("/echo")), value, Buffer.alloc(12_000, 0xbe)]);
    peer.write(frame({ type: FrameType.headers, flags: Flag.endHeaders | Flag.endStream, streamId: 1, payload: bomb }));
    assert.equal((await peer.answer(1)).head.get(":status"), "431");
    await peer.assertAlive(3);
  });
});

describe("Connection: time", () => {
  for (const [name, start] of [
    ["says nothing", []],
    ["stops in its preface", [PREFACE.subarray(0, 10)]],
    ["sends no SETTINGS", [PREFACE]],
    ["stops in a header section", [PREFACE, send.settings(), frame({ type: FrameType.headers, streamId: 1 })]],
  ] as const)
    test(`a client that ${name} is cut`, async (t) => {
      const { port } = await startServer(t, { limits: { prefaceMs: 50 } });
      const peer = await Peer.connect(t, port);
      peer.write(...start);
      await peer.closed();
    });

  test("a client that is silent is sent a ping, and cut when it does not answer", async (t) => {
    const { port } = await startServer(t, { limits: { keepaliveMs: 20, keepaliveTimeoutMs: 100 } });
    const peer = await Peer.open(t, port);
    for (let i = 0; i < 3; i++) {
      const { payload } = await peer.take(FrameType.ping);
      peer.write(frame({ type: FrameType.ping, flags: Flag.ack, payload }));
    }
    await peer.take(FrameType.ping);
    await peer.closed();
  });

  test("a client that does not take what it asked for is cut", async (t) => {
    const { port, aborted } = await startServer(t, { limits: { stallMs: 50 } });
    const peer = await Peer.open(t, port);
    peer.write(send.headers(1, request("/bytes/100000"), { end: true }));
    await peer.closed();
    await until("the stream is aborted", () => Promise.resolve(aborted.includes("/bytes/100000")));
  });

  test("when much waits, those that take nothing are cut, the fullest first, and nobody else", async (t) => {
    const limits = { queuedBytesMax: 3_500_000, pressedStallMs: 50 };
    const { port, http2, aborted } = await startServer(t, { limits });
    const [full, fuller, quick] = [await Peer.open(t, port), await Peer.open(t, port), await Peer.open(t, port)];
    fuller.write(send.headers(1, request("/bytes/3000000"), { end: true }));
    await until("one has an answer", () => Promise.resolve(http2.queuedBytes > 2_900_000));
    full.write(send.headers(1, request("/bytes/2000000"), { end: true }));
    await fuller.closed();
    await quick.assertAlive(1);
    await until("the fullest is gone", () => Promise.resolve(aborted.includes("/bytes/3000000")));
    assert.ok(http2.queuedBytes > 1_900_000 && http2.queuedBytes < 2_000_000);
    assert.deepEqual([http2.connectionCount, aborted], [2, ["/bytes/3000000"]]);
  });

  test("a connection without streams is asked to go after a while", async (t) => {
    const { port } = await startServer(t, { limits: { idleMs: 50, lingerMs: 20 } });
    const peer = await Peer.open(t, port);
    assert.equal((await peer.take(FrameType.goaway)).payload.readUInt32BE(4), 0);
    await peer.closed();
  });
});

describe("Http2Server.close()", () => {
  test("lets streams end, takes those that were under way, leaves later ones alone", async (t) => {
    const { port, http2, held, heads } = await startServer(t);
    const peer = await Peer.open(t, port);
    peer.write(open(1), send.ping());
    await peer.take(FrameType.ping);
    const closing = http2.close(new AbortController().signal);
    assert.equal((await peer.take(FrameType.goaway)).payload.readUInt32BE(0), 2 ** 31 - 1);
    await peer.assertAlive(3); // the client had not seen it yet
    const { payload } = await peer.take(FrameType.ping);
    peer.write(frame({ type: FrameType.ping, flags: Flag.ack, payload }));
    assert.equal((await peer.take(FrameType.goaway)).payload.readUInt32BE(0), 3);
    peer.write(send.headers(5, request("/echo"), { end: true }));
    assert.equal((await peer.takeOf(5)).payload.readUInt32BE(0), REFUSED_STREAM);
    assert.equal(peer.isClosed, false);
    held[0]?.end();
    assert.equal((await peer.takeOf(1)).flags & Flag.endStream, Flag.endStream);
    await peer.closed();
    await closing;
    assert.equal(heads.length, 2);
  });

  test("does not wait for a client that does not answer", async (t) => {
    const { port, http2 } = await startServer(t, { limits: { lingerMs: 20 } });
    const peer = await Peer.open(t, port);
    await http2.close(new AbortController().signal);
    assert.equal(http2.connectionCount, 0);
    await peer.closed();
  });

  test("sends a client that reads slowly the end of its answer, and then waits for it no longer", async (t) => {
    const { http2 } = await startServer(t, { limits: { lingerMs: 20 } });
    const [ours, theirs] = duplexPair({ highWaterMark: 1024 });
    http2.accept(ours);
    const peer = new Peer(theirs);
    await peer.greet();
    theirs.pause();
    peer.write(send.headers(1, request("/bytes/60000"), { end: true }));
    await until("the answer waits in the socket", () => Promise.resolve(ours.writableLength > 50_000));
    const closing = http2.close(new AbortController().signal);
    await sleep(200); // ten times as long as a connection lingers that has nothing to send
    assert.equal(ours.destroyed, false);
    theirs.resume();
    assert.equal((await peer.answer(1)).body.length, 60_000);
    await closing;
  });

  test("takes no connection that comes while others end", async (t) => {
    const { port, http2, held } = await startServer(t);
    const peer = await Peer.open(t, port);
    peer.write(open(1), send.ping());
    await peer.take(FrameType.ping);
    const closing = http2.close(new AbortController().signal);
    const late = await Peer.connect(t, port);
    late.write(PREFACE, send.settings());
    await late.closed();
    held[0]?.end();
    const { payload } = await peer.take(FrameType.ping);
    peer.write(frame({ type: FrameType.ping, flags: Flag.ack, payload }));
    await closing;
  });

  test("may come again before it is done", async (t) => {
    const { port, http2 } = await startServer(t, { limits: { lingerMs: 20 } });
    await Peer.open(t, port);
    const never = new AbortController().signal;
    await Promise.all([http2.close(never), http2.close(never)]);
    assert.equal(http2.connectionCount, 0);
  });

  test("tells no higher stream in a later GOAWAY (RFC 9113 section 6.8)", async (t) => {
    const { port, http2 } = await startServer(t);
    const peer = await Peer.open(t, port);
    peer.write(open(1), send.ping());
    await peer.take(FrameType.ping);
    void http2.close(new AbortController().signal);
    const { payload } = await peer.take(FrameType.ping);
    peer.write(
      frame({ type: FrameType.ping, flags: Flag.ack, payload }),
      send.headers(9, request("/echo"), { end: true }),
    );
    assert.equal((await peer.takeOf(9)).payload.readUInt32BE(0), REFUSED_STREAM);
    peer.write(send.windowUpdate(0, 0)); // a mistake
    await peer.closed();
    const told = peer.takeAll(0).filter(({ type }) => type === FrameType.goaway);
    assert.deepEqual(
      told.map((goaway) => [goaway.payload.readUInt32BE(0), goaway.payload.readUInt32BE(4)]),
      [
        [2 ** 31 - 1, 0],
        [1, 0],
        [1, PROTOCOL_ERROR],
      ],
    );
  });

  test("cuts what is left when it has to hurry, and may come twice", async (t) => {
    const { port, http2, aborted } = await startServer(t);
    const peer = await Peer.open(t, port);
    peer.write(open(1), send.ping());
    await peer.take(FrameType.ping);
    await http2.close(AbortSignal.abort());
    await http2.close(AbortSignal.abort());
    await peer.closed();
    await until("the stream is aborted", () => Promise.resolve(aborted.length === 1));
  });
});
