import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { describe, test, type TestContext } from "node:test";
import { deadline } from "@k3s/async";
import { Random, until } from "@k3s/testkit";
import { ConnectionError } from "../src/error-code.ts";
import { FrameReader } from "../src/frame-reader.ts";
import { FrameType, PREFACE } from "../src/frame.ts";
import { HeaderList } from "../src/hpack/header-list.ts";
import { HpackDecoder } from "../src/hpack/hpack-decoder.ts";
import { HpackEncoder } from "../src/hpack/hpack-encoder.ts";
import { frame, Peer, request, send } from "./support/peer.ts";
import { startServer, type TestServer } from "./support/server.ts";

const SESSION_MS = 20_000;
const GROWTH_MAX_BYTES = 300 << 20;

/** A valid session in pieces: some requests with bodies, window updates, pings, resets. */
function session(random: Random): Buffer[] {
  const encoder = new HpackEncoder();
  const frames: Buffer[] = [send.settings([4, random.below(100_000)], [1, random.below(5000)])];
  for (let id = 1; id < 2 * (1 + random.below(12)); id += 2) {
    const path = random.pick(["/echo", "/hold", "/none", `/bytes/${random.below(50_000)}`]);
    const fields: [string, string][] = [...request(path), [`x-${random.below(9)}`, "v".repeat(random.below(100))]];
    const payload = encoder.encode(new HeaderList(fields, { isConstant: random.below(2) === 0 }));
    const cut = random.below(payload.length);
    if (random.below(4) === 0) {
      frames.push(frame({ type: FrameType.headers, streamId: id, payload: payload.subarray(0, cut) }));
      frames.push(frame({ type: FrameType.continuation, flags: 4, streamId: id, payload: payload.subarray(cut) }));
    } else frames.push(frame({ type: FrameType.headers, flags: 4, streamId: id, payload }));
    for (let i = random.below(4); i > 0; i--) frames.push(send.data(id, random.bytes(random.below(300))));
    frames.push(send.data(id, Buffer.alloc(0), { end: true }));
    frames.push(
      random.pick([send.windowUpdate(0, 1 + random.below(9999)), send.ping(), send.reset(id), send.settings()]),
    );
  }
  return frames;
}

/** The same, spoilt: bytes changed, frames lost, doubled, swapped, cut short, heads that lie. */
function mutated(random: Random): Buffer {
  const frames = session(random);
  for (let i = 1 + random.below(4); i > 0; i--) {
    const at = random.below(frames.length);
    const victim = Buffer.from(frames[at] ?? Buffer.alloc(9));
    const kind = random.below(6);
    if (kind === 0) frames.splice(at, 1);
    else if (kind === 1) frames.splice(at, 0, victim);
    else if (kind === 2) frames.splice(at, 1, victim.subarray(0, random.below(victim.length)));
    else if (kind === 3)
      frames.splice(
        random.below(frames.length),
        0,
        frame({
          type: random.below(12),
          flags: random.below(256),
          streamId: random.below(30),
          payload: random.bytes(random.below(40)),
        }),
      );
    else {
      victim[kind === 4 ? random.below(9) : random.below(victim.length)] = random.below(256);
      frames.splice(at, 1, victim);
    }
  }
  return Buffer.concat(frames);
}

/** Sends the bytes, hangs up, and waits until the server has closed its side. */
async function attack(t: TestContext, port: number, bytes: Buffer): Promise<void> {
  const socket = connect(port, "127.0.0.1");
  const limit = deadline(SESSION_MS, "An attack");
  limit.addEventListener("abort", () => socket.destroy(limit.reason as Error), { once: true });
  t.after(() => socket.destroy());
  socket.on("error", () => undefined).resume();
  socket.end(bytes);
  await once(socket, "close");
  limit[Symbol.dispose]();
  assert.equal(limit.aborted, false, "the server did not close");
}

async function survives(t: TestContext, { port, http2 }: TestServer, attacks: readonly Buffer[]): Promise<void> {
  const before = process.memoryUsage.rss();
  for (const bytes of attacks) await attack(t, port, bytes);
  await until("every connection is gone", () => Promise.resolve(http2.connectionCount === 0));
  await (await Peer.open(t, port)).assertAlive(1);
  const growth = process.memoryUsage.rss() - before;
  assert.ok(growth < GROWTH_MAX_BYTES, `memory grew by ${growth} bytes`);
}

describe("any bytes", () => {
  test("random ones after a preface end the connection, and nothing else", async (t) => {
    const random = new Random(2022);
    const attacks = Array.from({ length: 150 }, () =>
      Buffer.concat([PREFACE, send.settings(), random.bytes(random.below(3000))]),
    );
    await survives(t, await startServer(t, { limits: { lingerMs: 10 } }), attacks);
  });

  test("random ones without a preface do so too", async (t) => {
    const random = new Random(540);
    const attacks = Array.from({ length: 50 }, () =>
      Buffer.concat([PREFACE.subarray(0, random.below(25)), random.bytes(random.below(500))]),
    );
    await survives(t, await startServer(t, { limits: { lingerMs: 10 } }), attacks);
  });

  test("spoilt sessions do so too", async (t) => {
    const random = new Random(9113);
    const attacks = Array.from({ length: 400 }, () => Buffer.concat([PREFACE, mutated(random)]));
    await survives(t, await startServer(t, { limits: { lingerMs: 10 } }), attacks);
  });

  test("unspoilt sessions are answered without an error", async (t) => {
    const random = new Random(7540);
    const { port } = await startServer(t);
    for (let i = 0; i < 30; i++) {
      const peer = await Peer.connect(t, port);
      peer.write(PREFACE, ...session(random), send.settings([4, 1 << 20]), send.windowUpdate(0, 1 << 20));
      await peer.assertAlive(1001);
      assert.deepEqual(
        peer.takeAll(0).filter(({ type }) => type === FrameType.goaway),
        [],
      );
      peer.socket.destroy();
    }
  });

  test("as a header block are fields or an error of the connection", () => {
    const random = new Random(7541);
    let failures = 0;
    for (let i = 0; i < 20_000; i++) {
      const decoder = new HpackDecoder({ listSizeMax: 10_000 });
      try {
        for (let n = 0; n < 3; n++) decoder.decode(random.bytes(random.below(60)));
      } catch (error) {
        assert.ok(error instanceof ConnectionError);
        failures++;
      }
    }
    assert.ok(failures > 1000 && failures < 20_000, `${failures} blocks could not be decoded`);
  });

  test("as frames never make the reader hold more than one", () => {
    const random = new Random(16_384);
    for (let i = 0; i < 2000; i++) {
      const reader = new FrameReader();
      try {
        for (let n = 0; n < 5; n++) {
          reader.feed(random.bytes(random.below(200)));
          while (reader.next()) assert.ok(reader.length <= 16_384);
        }
      } catch (error) {
        assert.ok(error instanceof ConnectionError);
      }
    }
  });
});
