import assert from "node:assert/strict";
import { once } from "node:events";
import { readdir, readlink } from "node:fs/promises";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { describe, test, type TestContext } from "node:test";
import { until } from "@k3s/testkit";
import { resetSocket } from "../src/reset-socket.ts";

const CHUNK = Buffer.alloc(16 << 20);

/** A connection to a server that reads nothing, and the server's side of it. */
async function pair(t: TestContext): Promise<readonly [Socket, Socket]> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }).listen(0, "127.0.0.1");
  t.after(() => server.close());
  await once(server, "listening");
  const client = connect({ port: (server.address() as AddressInfo).port, host: "127.0.0.1", allowHalfOpen: true });
  const [[accepted]] = await Promise.all([once(server, "connection") as Promise<[Socket]>, once(client, "connect")]);
  t.after(() => accepted.destroy());
  return [client, accepted];
}

/** Sockets that this process has open. */
async function openSockets(): Promise<number> {
  const links = (await readdir("/proc/self/fd")).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => ""));
  return (await Promise.all(links)).filter((link) => link.startsWith("socket:")).length;
}

describe("resetSocket()", () => {
  const states: readonly [string, (socket: Socket) => unknown][] = [
    ["idle", () => undefined],
    ["whose end is on its way", (socket) => socket.end()],
    ["that has ended", (socket) => once(socket.end(), "finish")],
    ["whose end waits behind data", (socket) => socket.end(CHUNK)],
  ];
  for (const [state, prepare] of states)
    test(`closes a socket ${state}, without an error and without leaving its file open`, async (t) => {
      const before = await openSockets();
      const [client, accepted] = await pair(t);
      await prepare(client);
      resetSocket(client);
      if (!client.closed) await once(client, "close");
      accepted.destroy();
      await until("no file is left", async () => (await openSockets()) <= before + 1); // the listener
    });

  test("lets nobody take a part for the whole", async (t) => {
    const [client, accepted] = await pair(t);
    client.end(CHUNK);
    resetSocket(client);
    accepted.resume();
    await assert.rejects(once(accepted, "end"), { code: "ECONNRESET" });
  });
});
