import assert from "node:assert/strict";
import { once } from "node:events";
import { PassThrough } from "node:stream";
import { describe, test, type TestContext } from "node:test";
import { until } from "@k3s/testkit";
import { decodeFrame, encodeFrame, type FrameBody } from "../src/frame.ts";
import type { DialRules, DialTarget } from "../src/index.ts";
import { TunnelAcceptor } from "../src/tunnel-acceptor.ts";
import { TunnelSession, type SessionTimes } from "../src/tunnel-session.ts";
import { channelPair, TestChannel } from "./support/channel-pair.ts";
import { quietLog } from "./support/quiet-log.ts";

const TIMES: SessionTimes = { pingEveryMs: 10, silentAfterMs: 60_000, deadAfterMs: 60_000, syncEveryMs: 60_000 };

interface Made {
  readonly session: TunnelSession;
  readonly channel: TestChannel;
}

function made(t: TestContext, rules?: DialRules, times: Partial<SessionTimes> = {}): Made {
  const channel = new TestChannel();
  return {
    channel,
    session: sessionOn(t, channel, { times: { ...TIMES, ...times }, ...(rules === undefined ? {} : { rules }) }),
  };
}

function sessionOn(
  t: TestContext,
  channel: TestChannel,
  options: { rules?: DialRules; times: SessionTimes },
): TunnelSession {
  const session = new TunnelSession({
    channel,
    flowControl: "perDirection",
    times: options.times,
    key: options.rules === undefined ? "node/7" : "client/0",
    ...(options.rules === undefined ? {} : { acceptor: new TunnelAcceptor(options.rules) }),
    log: quietLog,
  });
  t.after(() => session.close());
  return session;
}

function arrive(channel: TestChannel, body: Exclude<FrameBody, { type: "unknown" }>): void {
  channel.receive(encodeFrame({ ...body, id: 1n }));
}

function sentBy(channel: TestChannel): readonly FrameBody[] {
  return channel.sent.map((message) => {
    const { id, ...rest } = decodeFrame(message);
    assert.ok(id >= 0n);
    return rest;
  });
}

function payloadsOf(channel: TestChannel): readonly Buffer[] {
  return sentBy(channel).flatMap((frame) => (frame.type === "data" ? [frame.payload] : []));
}

const target: DialTarget = { network: "tcp", address: "127.0.0.1:10250" };
const never: DialRules = { authorize: () => true, dial: () => new Promise(() => undefined) };

describe("TunnelSession", () => {
  test("numbers connections from 2 on and sends Connect before Data", (t) => {
    const { session, channel } = made(t);
    session.open(target).write("hi");
    session.open(target);
    assert.deepEqual(sentBy(channel), [
      { type: "connect", connection: 2, target },
      { type: "data", connection: 2, payload: Buffer.from("hi") },
      { type: "connect", connection: 3, target },
    ]);
  });

  test("answers Data for an unknown connection with k3s's text, and nothing else", (t) => {
    const { channel } = made(t);
    arrive(channel, { type: "data", connection: 9, payload: Buffer.from("x") });
    arrive(channel, { type: "error", connection: 9, text: "EOF" });
    arrive(channel, { type: "pause", connection: 9 });
    arrive(channel, { type: "resume", connection: 9 });
    assert.deepEqual(sentBy(channel), [{ type: "error", connection: 9, text: "connection not found node/7/9" }]);
  });

  test("gives what had arrived before an Error, then its text, and echoes it once", async (t) => {
    const { session, channel } = made(t);
    const stream = session.open(target);
    arrive(channel, { type: "data", connection: 2, payload: Buffer.from("last words") });
    arrive(channel, { type: "error", connection: 2, text: "reset by peer" });
    arrive(channel, { type: "error", connection: 2, text: "reset by peer" });
    const failed = once(stream, "error");
    assert.equal(String(stream.read()), "last words");
    const [error] = (await failed) as unknown as [Error];
    assert.equal(error.message, "reset by peer");
    assert.deepEqual(sentBy(channel).slice(1), [{ type: "error", connection: 2, text: "reset by peer" }]);
    assert.equal(session.streams, 0);
  });

  test("an Error EOF is a regular end", async (t) => {
    const { session, channel } = made(t);
    const stream = session.open(target);
    arrive(channel, { type: "error", connection: 2, text: "EOF" });
    assert.deepEqual(await stream.toArray(), []);
  });

  test("end() sends what was written, then EOF", async (t) => {
    const { session, channel } = made(t);
    const stream = session.open(target);
    stream.end("bye");
    await once(stream, "finish");
    assert.deepEqual(sentBy(channel).slice(1), [
      { type: "data", connection: 2, payload: Buffer.from("bye") },
      { type: "error", connection: 2, text: "EOF" },
    ]);
    assert.deepEqual(await stream.toArray(), []);
  });

  test("splits Data at 32 KiB and puts small writes together", async (t) => {
    const { session, channel } = made(t);
    const stream = session.open(target);
    stream.cork();
    for (const text of ["a", "b", "c"]) stream.write(text);
    stream.uncork();
    stream.write(Buffer.alloc(70_000));
    await until("all is sent", () => Promise.resolve(stream.writableLength === 0));
    assert.deepEqual(
      payloadsOf(channel).map(({ length }) => length),
      [3, 32_768, 32_768, 4_464],
    );
  });

  test("sends nothing between Pause and Resume", (t) => {
    const { session, channel } = made(t);
    const stream = session.open(target);
    arrive(channel, { type: "pause", connection: 2 });
    stream.write("held");
    assert.equal(channel.sent.length, 1);
    arrive(channel, { type: "resume", connection: 2 });
    assert.equal(channel.sent.length, 2);
  });

  test("a congested channel gives each stream its turn", (t) => {
    const { session, channel } = made(t);
    const streams = [session.open(target), session.open(target), session.open(target)];
    channel.isCongested = true;
    for (const stream of streams) stream.write(Buffer.alloc(200_000));
    assert.equal(channel.sent.length, 3, "nothing but the Connects");
    channel.drain();
    const turns = sentBy(channel)
      .slice(3, 9)
      .map(({ connection }) => connection);
    assert.deepEqual(turns, [2, 2, 3, 3, 4, 4]);
  });

  test("a stream whose peer does not heed Pause ends, the session does not", async (t) => {
    const { session, channel } = made(t);
    const stream = session.open(target);
    const other = session.open(target);
    const failed = once(stream, "error");
    const payload = Buffer.alloc(512 * 1024);
    for (let bytes = 0; bytes <= 33 * 2 ** 20; bytes += payload.length)
      arrive(channel, { type: "data", connection: 2, payload });
    const [error] = (await failed) as unknown as [Error];
    assert.match(error.message, /does not heed Pause/);
    assert.ok(!session.isOver && !other.destroyed);
  });

  const malformed: readonly (readonly [string, (channel: TestChannel) => void])[] = [
    ["a frame that is none", (channel) => channel.receive(Buffer.from("ff", "hex"))],
    ["a text message", (channel) => channel.receiveText()],
    ["a Connect to a server", (channel) => arrive(channel, { type: "connect", connection: 5, target })],
  ];
  for (const [name, act] of malformed)
    test(`${name} ends the session and every stream with "tunnel disconnect"`, async (t) => {
      const { session, channel } = made(t);
      const failed = once(session.open(target), "error");
      act(channel);
      const [error] = (await failed) as unknown as [Error];
      assert.equal(error.message, "tunnel disconnect");
      assert.match(String(await session.ended), /ProtocolError/);
      assert.ok(channel.isClosed);
      assert.deepEqual(sentBy(channel).at(-1), { type: "error", connection: 2, text: "tunnel disconnect" });
      assert.throws(() => session.open(target), /tunnel disconnect/);
    });

  test("frames of another time and peers mode change nothing", (t) => {
    const { session, channel } = made(t);
    channel.receive(Buffer.from("020412ff", "hex")); // type 9
    arrive(channel, { type: "addClient", connection: 0, client: "a/1" });
    arrive(channel, { type: "removeClient", connection: 0, client: "a/1" });
    assert.ok(!session.isOver);
    assert.equal(channel.sent.length, 0);
  });

  test("a refused Connect ends the client's session", async (t) => {
    const { session, channel } = made(t, { ...never, authorize: ({ address }) => address === "elsewhere:1" });
    arrive(channel, { type: "connect", connection: 2, target });
    assert.match(String(await session.ended), /a Connect that is not allowed/);
  });

  test("Data that comes while the client dials is delivered after it", async (t) => {
    const dialled = Promise.withResolvers<PassThrough>();
    const { channel } = made(t, { authorize: () => true, dial: () => dialled.promise });
    arrive(channel, { type: "connect", connection: 2, target });
    arrive(channel, { type: "data", connection: 2, payload: Buffer.from("early") });
    const socket = new PassThrough();
    dialled.resolve(socket);
    await until("it comes back", () =>
      Promise.resolve(payloadsOf(channel).some((payload) => String(payload) === "early")),
    );
  });

  test("SyncConnections drops old connections that are not listed, without an Error frame", async (t) => {
    const { session, channel } = made(t);
    t.mock.method(performance, "now", () => 0);
    const [kept, dropped] = [session.open(target), session.open(target)];
    const failed = once(dropped, "error");
    t.mock.restoreAll();
    t.mock.method(performance, "now", () => 60_000);
    const young = session.open(target);
    arrive(channel, { type: "sync", connection: 0, connections: [2] });
    t.mock.restoreAll();
    const [error] = (await failed) as unknown as [Error];
    assert.equal(error.message, "sync from client");
    assert.ok(!kept.destroyed && !young.destroyed);
    assert.equal(channel.sent.length, 3, "the three Connects");
  });

  test("a client pings and lists its connections, a server does neither", async (t) => {
    const client = made(t, never, { syncEveryMs: 20 });
    const server = made(t);
    arrive(client.channel, { type: "connect", connection: 4, target });
    arrive(client.channel, { type: "connect", connection: 3, target });
    await until("it has listed them", () => Promise.resolve(client.channel.sent.length > 0));
    assert.deepEqual(sentBy(client.channel)[0], { type: "sync", connection: 0, connections: [3, 4] });
    assert.ok(client.channel.pings >= 2);
    assert.equal(server.channel.pings + server.channel.sent.length, 0);
  });

  test("a session of which nothing is heard ends", async (t) => {
    const { session } = made(t, undefined, { deadAfterMs: 30 });
    assert.match(String(await session.ended), /peer silent for 0.03 s/);
  });

  test("both sides agree when a stream is destroyed with an error", async (t) => {
    const [a, b] = channelPair();
    const socket = new PassThrough();
    const server = sessionOn(t, a, { times: TIMES });
    sessionOn(t, b, { times: TIMES, rules: { authorize: () => true, dial: () => Promise.resolve(socket) } });
    const stream = server.open(target);
    stream.write("x");
    assert.equal(String(await once(stream, "data")), "x");
    const failed = once(stream, "error");
    socket.destroy(new Error("no route to host"));
    const [error] = (await failed) as unknown as [Error];
    assert.equal(error.message, "no route to host");
    assert.equal(server.streams, 0);
  });
});
