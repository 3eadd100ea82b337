import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex, Readable } from "node:stream";
import { describe, test } from "node:test";
import { FaultProxy, until } from "@k3s/testkit";
import { NoSessionError, TunnelStreamError } from "../src/index.ts";
import { connectedClient, startClient, startServer, startTarget, untilState } from "./support/tunnel-fixture.ts";

async function textOf(stream: Readable): Promise<string> {
  return (await stream.toArray()).join("");
}

async function errorOf(stream: Duplex): Promise<Error> {
  const [error] = (await once(stream, "error")) as unknown as [Error];
  return error;
}

const hash = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");

describe("tunnel over real websockets", () => {
  test("carries a connection both ways and its end", async (t) => {
    const { tunnels, port } = await startServer(t);
    await connectedClient(t, port);
    const address = await startTarget(t, (socket) => {
      socket.once("data", (chunk: Buffer) => socket.end(`you said ${chunk.toString()}`));
    });
    const stream = await tunnels.dial("one", "tcp", address);
    stream.write("hello");
    assert.equal(await textOf(stream), "you said hello");
    await until("the stream is closed", () => Promise.resolve(stream.closed));
  });

  test("carries megabytes unchanged both ways at once", async (t) => {
    const { tunnels, port } = await startServer(t);
    await connectedClient(t, port);
    const address = await startTarget(t, (socket) => socket.pipe(socket));
    const stream = await tunnels.dial("one", "tcp", address);
    const sent = randomBytes(24 * 2 ** 20);
    const received: Buffer[] = [];
    let bytes = 0;
    stream.on("data", (chunk: Buffer) => {
      received.push(chunk);
      bytes += chunk.length;
    });
    stream.write(sent);
    await until("everything is back", () => Promise.resolve(bytes === sent.length));
    assert.equal(hash(Buffer.concat(received)), hash(sent));
    stream.destroy();
  });

  test("ends a stream with the dial error of the node", async (t) => {
    const { tunnels, port } = await startServer(t);
    const dial = () => Promise.reject(new Error("dial tcp 10.9.9.9:1: no route to host"));
    await connectedClient(t, port, { rules: { authorize: () => true, dial } });
    const error = await errorOf(await tunnels.dial("one", "tcp", "10.9.9.9:1"));
    assert.ok(error instanceof TunnelStreamError);
    assert.equal(error.message, "dial tcp 10.9.9.9:1: no route to host");
  });

  test("closes the connection of the node when the server's side is destroyed", async (t) => {
    const { tunnels, port } = await startServer(t);
    await connectedClient(t, port);
    const closed = Promise.withResolvers<void>();
    const opened = Promise.withResolvers<void>();
    const address = await startTarget(t, (socket) => {
      opened.resolve();
      socket.once("close", () => closed.resolve());
    });
    const stream = await tunnels.dial("one", "tcp", address);
    await opened.promise;
    stream.destroy();
    await closed.promise;
  });

  test("a node that refuses an address ends its session and comes back", async (t) => {
    const { tunnels, port } = await startServer(t);
    const rules = { authorize: () => false, dial: () => Promise.reject(new Error("unused")) };
    const client = await connectedClient(t, port, { rules });
    const error = await errorOf(await tunnels.dial("one", "tcp", "127.0.0.1:22"));
    assert.equal(error.message, "tunnel disconnect");
    await untilState(client, "connected");
    await until("the server knows the new session", () => Promise.resolve(tunnels.hasSession("one")));
  });

  test("a node that opens one session after the other keeps the newest few", async (t) => {
    const { tunnels, port } = await startServer(t);
    const closed = untilState(await connectedClient(t, port), "waiting");
    for (let i = 0; i < 8; i++) await connectedClient(t, port);
    await closed;
    assert.ok(tunnels.hasSession("one"));
  });

  test("dial() rejects with k3s's text when the node has no tunnel", async (t) => {
    const { tunnels } = await startServer(t);
    await assert.rejects(
      tunnels.dial("nobody", "tcp", "127.0.0.1:1"),
      (error) => error instanceof NoSessionError && error.message === "failed to find Session for client nobody",
    );
  });

  test("TunnelClient connects again after a cut, and connections of the old session end", async (t) => {
    const { tunnels, port } = await startServer(t);
    const proxy = await FaultProxy.start({ target: { port } });
    t.after(() => proxy.stop());
    const client = await connectedClient(t, proxy.port);
    const address = await startTarget(t, (socket) => socket.pipe(socket));
    const stream = await tunnels.dial("one", "tcp", address);
    const ended = errorOf(stream);
    stream.resume();
    proxy.cut();
    assert.equal((await ended).message, "tunnel disconnect");
    await untilState(client, "connected");
    await until("the new session carries", async () => {
      const again = await tunnels.dial("one", "tcp", address);
      again.end("x");
      return true;
    });
  });

  test("TunnelServer can send its nodes away, and takes them again", async (t) => {
    const { tunnels, port } = await startServer(t);
    const client = await connectedClient(t, port);
    tunnels.endSessions();
    await untilState(client, "waiting");
    await untilState(client, "connected");
  });

  test("TunnelClient asks a server that refuses it in a measure of its own", async (t) => {
    let refusals = 0;
    const http = createServer().on("upgrade", (_request, socket: Socket) => {
      refusals += 1;
      socket.on("error", () => undefined);
      socket.end("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    });
    http.listen(0, "127.0.0.1");
    t.after(() => http.close());
    await once(http, "listening");
    const { port } = http.address() as AddressInfo;
    const never = 1_000_000;
    const client = startClient(t, port, {
      backoff: { minMs: never, maxMs: never, refusedMinMs: 1, refusedMaxMs: 1, healthyAfterMs: never },
    });
    await until("it has asked often", () => Promise.resolve(refusals > 3));
    assert.match(String(client.status.get().error), /server answered 503/);
  });

  test("TunnelClient keeps trying until there is a server", async (t) => {
    const { tunnels, port } = await startServer(t);
    const proxy = await FaultProxy.start({ target: { port } });
    t.after(() => proxy.stop());
    await proxy.refuse();
    const client = startClient(t, proxy.port);
    await untilState(client, "waiting");
    assert.match(String(client.status.get().error), /Cannot open tunnel to "ws:.*": connection failed/);
    await proxy.accept();
    await untilState(client, "connected");
    await until("the server knows it", () => Promise.resolve(tunnels.hasSession("one")));
  });

  test("TunnelClient says that the server is silent, and that it is back", async (t) => {
    const { port } = await startServer(t);
    const proxy = await FaultProxy.start({ target: { port } });
    t.after(() => proxy.stop());
    const client = await connectedClient(t, proxy.port, { times: { pingEveryMs: 50, silentAfterMs: 120 } });
    proxy.stall();
    await untilState(client, "silent");
    proxy.resume();
    await untilState(client, "connected");
  });

  test("TunnelClient gives up a session that stays silent", async (t) => {
    const { port } = await startServer(t);
    const proxy = await FaultProxy.start({ target: { port } });
    t.after(() => proxy.stop());
    const times = { pingEveryMs: 30, silentAfterMs: 60, deadAfterMs: 150 };
    const client = await connectedClient(t, proxy.port, { times });
    proxy.stall("toClient");
    await untilState(client, "waiting");
    assert.match(String(client.status.get().error), /peer silent for/);
    proxy.resume("toClient");
    await untilState(client, "connected");
  });

  test("stop() ends a client in every state, twice", async (t) => {
    const { port } = await startServer(t);
    const connected = await connectedClient(t, port);
    await connected.stop();
    await connected.stop();
    assert.equal(connected.status.get().state, "stopped");
    const connecting = startClient(t, port);
    await connecting.stop();
    assert.equal(connecting.status.get().state, "stopped");
  });

  test("close() of the server ends streams and forgets nodes", async (t) => {
    const { tunnels, port } = await startServer(t);
    const client = await connectedClient(t, port);
    const address = await startTarget(t, (socket) => socket.pipe(socket));
    const ended = errorOf(await tunnels.dial("one", "tcp", address));
    await tunnels.close();
    assert.equal((await ended).message, "tunnel disconnect");
    assert.deepEqual(tunnels.nodeNames, []);
    await untilState(client, "waiting");
  });
});
