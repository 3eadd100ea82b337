import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Flag, FrameType, WINDOW_DEFAULT } from "../src/frame.ts";
import { frame, Peer, request, send } from "./support/peer.ts";
import { startServer } from "./support/server.ts";

const INITIAL_WINDOW_SIZE = 4;
const FLOW_CONTROL_ERROR = 3;
const ENHANCE_YOUR_CALM = 11;

const get = (streamId: number, bytes: number) => send.headers(streamId, request(`/bytes/${bytes}`), { end: true });

/** Bytes of body of `streamId` until a ping sent after them is answered: what the server sends without being asked again. */
async function burst(peer: Peer, streamId: number): Promise<number> {
  peer.write(send.ping());
  await peer.take(FrameType.ping);
  let total = 0;
  for (const { type, payload } of peer.takeAll(streamId)) if (type === FrameType.data) total += payload.length;
  return total;
}

describe("Connection: what it sends", () => {
  test("stops at the window of the connection, and goes on when that opens", async (t) => {
    const { port } = await startServer(t);
    const peer = await Peer.open(t, port);
    peer.write(send.settings([INITIAL_WINDOW_SIZE, 1 << 20]), get(1, 100_000));
    assert.equal(await burst(peer, 1), WINDOW_DEFAULT);
    peer.write(send.windowUpdate(0, 10));
    assert.equal(await burst(peer, 1), 10);
    peer.write(send.windowUpdate(0, 1 << 20));
    assert.equal((await peer.answer(1)).body.length, 100_000 - WINDOW_DEFAULT - 10);
  });

  test("stops at the window of a stream, while others go on", async (t) => {
    const { port } = await startServer(t);
    const peer = await Peer.open(t, port);
    peer.write(send.settings([INITIAL_WINDOW_SIZE, 100]), send.windowUpdate(0, 1 << 20), get(1, 1000), get(3, 50));
    assert.equal((await peer.answer(3)).body.length, 50);
    assert.equal(await burst(peer, 1), 100);
    peer.write(send.windowUpdate(1, 900));
    const { body } = await peer.answer(1);
    assert.equal(body.length, 900);
  });

  test("follows a change of the initial window on open streams, also below zero", async (t) => {
    const { port } = await startServer(t);
    const peer = await Peer.open(t, port);
    peer.write(send.windowUpdate(0, 1 << 20), send.settings([INITIAL_WINDOW_SIZE, 100]), get(1, 1000));
    assert.equal(await burst(peer, 1), 100);
    peer.write(send.settings([INITIAL_WINDOW_SIZE, 10])); // 90 below
    peer.write(send.windowUpdate(1, 95));
    assert.equal(await burst(peer, 1), 5);
    peer.write(send.settings([INITIAL_WINDOW_SIZE, 2000]));
    assert.equal((await peer.answer(1)).body.length, 895);
  });

  test("sends a header section, an empty body and trailers through shut windows", async (t) => {
    const { port } = await startServer(t);
    const peer = await Peer.open(t, port);
    peer.write(get(1, WINDOW_DEFAULT));
    assert.equal((await peer.answer(1)).body.length, WINDOW_DEFAULT);
    peer.write(send.settings([INITIAL_WINDOW_SIZE, 0]));
    await peer.assertAlive(3);
    peer.write(send.headers(5, request("/none"), { end: true }));
    assert.equal((await peer.answer(5)).head.get(":status"), "200");
  });

  test("cuts a body into frames of at most 16 KiB, in order, in turn with others", async (t) => {
    const { port } = await startServer(t);
    const peer = await Peer.open(t, port);
    peer.write(send.settings([INITIAL_WINDOW_SIZE, 1 << 24]), send.windowUpdate(0, 1 << 24));
    peer.write(get(1, 1 << 20), get(3, 1 << 20));
    const order: number[] = [];
    for (let left = 2; left > 0;) {
      const { streamId, payload, flags } = await peer.take(FrameType.data);
      assert.ok(payload.length <= 16_384);
      if (order.at(-1) !== streamId) order.push(streamId);
      if ((flags & Flag.endStream) !== 0) left--;
    }
    assert.ok(order.length > 100, `the streams took turns ${order.length} times`);
  });

  test("holds what a stream has not sent when it is reset, no longer", async (t) => {
    const { port } = await startServer(t);
    const peer = await Peer.open(t, port);
    peer.write(send.settings([INITIAL_WINDOW_SIZE, 1 << 20]), get(1, 200_000));
    assert.equal(await burst(peer, 1), WINDOW_DEFAULT);
    peer.write(send.reset(1), send.windowUpdate(0, 1 << 20));
    await peer.assertAlive(3);
    assert.deepEqual(peer.takeAll(1), []);
  });
});

describe("Connection: what it takes", () => {
  const limits = { streamWindowBytes: 65_535, connectionWindowBytes: 200_000 };
  const kilobytes = (streamId: number, count: number) =>
    Array.from({ length: count }, () => send.data(streamId, Buffer.alloc(1000)));

  test("credits a stream and the connection as its listener does, in few frames", async (t) => {
    const { port } = await startServer(t, { limits });
    const peer = await Peer.open(t, port);
    await peer.take(FrameType.windowUpdate); // from the default to 200 000
    peer.write(send.settings([INITIAL_WINDOW_SIZE, 1 << 20]), send.windowUpdate(0, 1 << 20));
    peer.write(send.headers(1, request("/echo")), ...kilobytes(1, 60));
    peer.write(send.ping());
    await peer.take(FrameType.ping);
    const updates = peer.takeAll(undefined).filter(({ type }) => type === FrameType.windowUpdate);
    assert.deepEqual(
      updates.map(({ streamId }) => streamId),
      [1],
    );
    const credited = updates[0]?.payload.readUInt32BE(0) ?? 0;
    assert.ok(credited >= 32_768 && credited <= 60_000, `credited ${credited}`);
    peer.write(...kilobytes(1, 60), send.data(1, Buffer.alloc(0), { end: true }));
    assert.equal((await peer.answer(1)).body.length, 120_000);
    assert.equal(peer.takeAll(0).filter(({ type }) => type === FrameType.windowUpdate).length, 1);
  });

  test("a peer that can hardly send is told all that was credited", async (t) => {
    const { port, held } = await startServer(t, { limits });
    const peer = await Peer.open(t, port);
    peer.write(send.headers(1, request("/hold")), ...kilobytes(1, 30), send.ping());
    await peer.take(FrameType.ping);
    held[0]?.credit(30_000); // less than half of the window: it can send 35,535 more
    peer.write(...kilobytes(1, 35)); // in the middle of something larger
    assert.equal((await peer.takeOf(1)).payload.readUInt32BE(0), 30_000);
    await peer.assertAlive(3);
  });

  test("a listener that takes nothing shuts its stream only", async (t) => {
    const { port } = await startServer(t, { limits });
    const peer = await Peer.open(t, port);
    for (const id of [1, 3, 5, 7, 9]) peer.write(send.headers(id, request("/hold")), ...kilobytes(id, 65));
    await peer.assertAlive(11);
    assert.equal(peer.isClosed, false);
  });

  test("a stream that gets more than its window is reset", async (t) => {
    const { port, aborted } = await startServer(t, { limits });
    const peer = await Peer.open(t, port);
    peer.write(send.headers(1, request("/hold")), ...kilobytes(1, 66));
    const reset = await peer.take(FrameType.rstStream);
    assert.equal(reset.payload.readUInt32BE(0), FLOW_CONTROL_ERROR);
    assert.deepEqual(aborted, ["/hold"]);
    await peer.assertAlive(3);
  });

  test("padding counts against the windows, and is credited", async (t) => {
    const { port } = await startServer(t, { limits });
    const peer = await Peer.open(t, port);
    const padded = frame({
      flags: Flag.padded,
      streamId: 1,
      payload: Buffer.concat([Buffer.of(255), Buffer.alloc(255)]),
    });
    peer.write(send.headers(1, request("/hold")), ...Array.from({ length: 250 }, () => padded)); // 64 000 bytes
    const { payload } = await peer.takeOf(1);
    assert.ok(payload.readUInt32BE(0) >= 32_768);
    peer.write(...Array.from({ length: 250 }, () => padded), send.data(1, Buffer.from("x")));
    await peer.assertAlive(3);
  });

  test("a stream that pushes the connection over the limit of unread bytes is reset", async (t) => {
    const { port } = await startServer(t, { limits: { ...limits, unreadBytesMax: 100_000 } });
    const peer = await Peer.open(t, port);
    for (const id of [1, 3]) peer.write(send.headers(id, request("/hold")), ...kilobytes(id, 60));
    const reset = await peer.take(FrameType.rstStream);
    assert.deepEqual([reset.streamId, reset.payload.readUInt32BE(0)], [3, ENHANCE_YOUR_CALM]);
    await peer.assertAlive(5);
    peer.write(send.reset(1), send.headers(7, request("/hold")), ...kilobytes(7, 60));
    await peer.assertAlive(9);
    assert.equal(peer.takeAll(7).length, 0); // there was room again
  });
});
