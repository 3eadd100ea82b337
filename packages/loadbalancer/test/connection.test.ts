import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import type { Socket } from "node:net";
import { describe, test, type TestContext } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { closed, open, startBalancer, startServer, untilTrue } from "./arrange.ts";

/** A client and the socket that a server got for it, through a load balancer. */
async function joined(t: TestContext): Promise<{ client: Socket; server: Socket; connections: () => number }> {
  const accepted = Promise.withResolvers<Socket>();
  const { address } = await startServer(t, accepted.resolve);
  const { balancer, port } = await startBalancer(t, { serverUrl: `https://${address}` });
  const client = await open(t, port);
  const server = await accepted.promise;
  const connections = () => balancer.servers()[0]?.connections ?? 0;
  await untilTrue("they are joined", () => connections() === 1);
  return { client, server, connections };
}

/** Digest of all that comes until the other side ends. */
async function digestOf(socket: Socket): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) hash.update(chunk as Buffer);
  return hash.digest("hex");
}

function sendMuch(socket: Socket, bytes: number): string {
  const data = randomBytes(bytes);
  socket.end(data);
  return createHash("sha256").update(data).digest("hex");
}

describe("Connection", () => {
  test("carries bytes both ways at once, unchanged", async (t) => {
    const { client, server } = await joined(t);
    const received = Promise.all([digestOf(client), digestOf(server)]);
    const sent = [sendMuch(server, 20 << 20), sendMuch(client, 20 << 20)];
    assert.deepEqual(await received, sent);
  });

  for (const from of ["client", "server"] as const)
    test(`passes on the end of the ${from} and lets the other side speak on`, async (t) => {
      const sockets = await joined(t);
      const first = sockets[from];
      const second = from === "client" ? sockets.server : sockets.client;
      first.end("last words");
      second.setEncoding("utf8");
      const [text] = (await once(second, "data")) as [string];
      assert.equal(text, "last words");
      if (!second.readableEnded) await once(second, "end");
      const received = digestOf(first);
      assert.equal(sendMuch(second, 5 << 20), await received);
      await untilTrue("it is gone", () => sockets.connections() === 0);
    });

  for (const from of ["client", "server"] as const)
    test(`passes on a reset of the ${from}`, async (t) => {
      const sockets = await joined(t);
      const second = from === "client" ? sockets.server : sockets.client;
      const failure = new Promise((resolve) => void second.once("error", resolve));
      second.resume();
      sockets[from].resetAndDestroy();
      assert.equal(((await failure) as NodeJS.ErrnoException).code, "ECONNRESET");
      await untilTrue("it is gone", () => sockets.connections() === 0);
    });

  for (const from of ["client", "server"] as const)
    test(`makes the ${from} wait for a reader that does not read`, async (t) => {
      const sockets = await joined(t);
      const first = sockets[from];
      const second = from === "client" ? sockets.server : sockets.client;
      const before = bufferBytes();
      const block = Buffer.alloc(1 << 20, from);
      let sent = 0;
      // Written until nothing has gone out for a while: then everybody on the way is full.
      for (let isFull = false; !isFull;) {
        sent += block.length;
        isFull = !first.write(block) && !(await drainsSoon(first));
      }
      await untilTrue("little is kept", () => bufferBytes() - before < 2 << 20);
      first.end();
      let received = 0;
      for await (const chunk of second) received += (chunk as Buffer).length;
      assert.equal(received, sent);
      await closed(second);
    });

  test("leaves nothing behind after a thousand clients", async (t) => {
    const { address } = await startServer(t, (socket) => socket.pipe(socket));
    const { balancer, port } = await startBalancer(t, { serverUrl: `https://${address}` });
    for (let round = 0; round < 10; round++) {
      const clients = await Promise.all(Array.from({ length: 100 }, () => open(t, port)));
      const echoes = clients.map(async (client, index) => {
        client.end(`client ${index}`);
        assert.equal(String(Buffer.concat((await client.toArray()) as Buffer[])), `client ${index}`);
      });
      await Promise.all(echoes);
    }
    await untilTrue("all are gone", () => balancer.servers()[0]?.connections === 0);
  });
});

async function drainsSoon(socket: Socket): Promise<boolean> {
  const limit = AbortSignal.timeout(500);
  return once(socket, "drain", { signal: limit }).then(
    () => true,
    () => false,
  );
}

/** What buffers hold that somebody can still reach. */
function bufferBytes(): number {
  setFlagsFromString("--expose-gc");
  for (let i = 0; i < 2; i++) runInNewContext("gc()");
  return process.memoryUsage().arrayBuffers;
}
