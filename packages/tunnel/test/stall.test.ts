import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import type { Socket } from "node:net";
import type { Readable } from "node:stream";
import { describe, test, type TestContext } from "node:test";
import { until } from "@k3s/testkit";
import type { FlowControl } from "../src/flow-gate.ts";
import { TunnelStream } from "../src/tunnel-stream.ts";
import { connectedClient, startServer, startTarget } from "./support/tunnel-fixture.ts";

const BYTES = 100 * 2 ** 20;
const sent = randomBytes(BYTES);
const sentHash = createHash("sha256").update(sent).digest("hex");
/** Pause comes at 2 MiB, and the sockets on the way hold some more. */
const HELD_MAX = 32 * 2 ** 20;

async function hashOf(stream: Readable): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of stream) hash.update(chunk as Buffer);
  return hash.digest("hex");
}

interface Rig {
  readonly dial: (address: string) => Promise<TunnelStream>;
  /** Asks and waits for the answer, as often as said, over a connection of its own. */
  readonly converse: (times: number) => Promise<void>;
}

async function rig(t: TestContext, flowControl: FlowControl): Promise<Rig> {
  const { tunnels, port } = await startServer(t, { flowControl });
  await connectedClient(t, port);
  const dial = async (address: string) => {
    const stream = await tunnels.dial("one", "tcp", address);
    assert.ok(stream instanceof TunnelStream);
    t.after(() => stream.destroy());
    stream.on("error", () => undefined); // the tunnel goes before the streams do
    return stream;
  };
  const echo = await startTarget(t, (socket) => socket.pipe(socket));
  const converse = async (times: number) => {
    const live = await dial(echo);
    for (let round = 0; round < times; round++) {
      live.write(`round ${round}`);
      assert.equal(String(await once(live, "data")), `round ${round}`);
    }
    live.destroy();
  };
  return { dial, converse };
}

/** Resolves when `value` has all but stopped growing while other connections had their turns. */
async function untilSteady(value: () => number, converse: (times: number) => Promise<void>): Promise<number> {
  let before = -(2 ** 20);
  return until("it has all but stopped growing", async () => {
    await converse(20);
    const now = value();
    // A peer of the other kind is asked now and then, with a few bytes, whether it still is full.
    const isSteady = now > 0 && now - before < 16_384;
    before = now;
    return isSteady && now;
  });
}

for (const flowControl of ["perDirection", "shared"] as const)
  describe(`back-pressure, flow control ${flowControl}`, () => {
    test("100 MiB for a reader that stands still are held back at their source, and arrive", async (t) => {
      const { dial, converse } = await rig(t, flowControl);
      const source = await startTarget(t, (socket) => socket.end(sent));
      const stalled = await dial(source);
      stalled.pause();
      stalled.read(0);
      const held = await untilSteady(() => stalled.bufferedBytes, converse);
      assert.ok(held > 2 ** 21 && held < HELD_MAX, `${held} bytes are held`);
      assert.equal(await hashOf(stalled), sentHash);
    });

    test("100 MiB for a node that stands still are held back at the server, and arrive", async (t) => {
      const { dial, converse } = await rig(t, flowControl);
      const accepted = Promise.withResolvers<Socket>();
      const sink = await startTarget(t, (socket) => accepted.resolve(socket.pause()));
      const stalled = await dial(sink);
      let written = 0;
      const writing = (async () => {
        for (let at = 0; at < BYTES; at += 65_536) {
          if (!stalled.write(sent.subarray(at, at + 65_536))) await once(stalled, "drain");
          written = at;
        }
        stalled.end();
      })();
      const held = await untilSteady(() => written, converse);
      assert.ok(held > 2 ** 21 && held < HELD_MAX, `${held} bytes were taken`);
      const hash = hashOf(await accepted.promise);
      await writing;
      assert.equal(await hash, sentHash);
    });

    test("two full buffers do not wait for each other", async (t) => {
      const { dial, converse } = await rig(t, flowControl);
      const echo = await startTarget(t, (socket) => socket.pipe(socket));
      const stream = await dial(echo);
      stream.pause();
      stream.read(0);
      stream.write(sent.subarray(0, 2 ** 25));
      await until("both sides have asked for silence", async () => {
        await converse(5);
        return stream.bufferedBytes > 2 ** 21;
      });
      let left = 2 ** 25;
      const hash = createHash("sha256");
      for await (const chunk of stream) {
        hash.update(chunk as Buffer);
        left -= (chunk as Buffer).length;
        if (left <= 0) break;
      }
      assert.equal(
        hash.digest("hex"),
        createHash("sha256")
          .update(sent.subarray(0, 2 ** 25))
          .digest("hex"),
      );
    });
  });
