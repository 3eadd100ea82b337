import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { describe, test, type TestContext } from "node:test";
import { FaultProxy, type FaultProxyOptions } from "../src/fault-proxy.ts";
import { until } from "../src/until.ts";

interface Peers {
  readonly proxy: FaultProxy;
  readonly client: Socket;
  readonly server: Socket;
}

/** A client and the server's end of its connection, with the proxy between them. */
async function connected(t: TestContext, options: Omit<FaultProxyOptions, "target"> = {}): Promise<Peers> {
  const listener = createServer({ allowHalfOpen: true }).listen(0, "127.0.0.1");
  t.after(() => listener.close());
  await once(listener, "listening");
  const proxy = await FaultProxy.start({ target: { port: (listener.address() as AddressInfo).port }, ...options });
  t.after(() => proxy.stop());
  const accepted = once(listener, "connection") as Promise<[Socket]>;
  const client = connect({ port: proxy.port, host: "127.0.0.1", allowHalfOpen: true });
  t.after(() => client.destroy());
  await once(client, "connect");
  const [server] = await accepted;
  t.after(() => server.destroy());
  for (const socket of [client, server]) socket.on("error", () => undefined);
  return { proxy, client, server };
}

async function received(socket: Socket): Promise<string> {
  const [chunk] = (await once(socket, "data")) as [Buffer];
  return chunk.toString();
}

/** Unlike once(), not bothered by the error that comes before. */
function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.once("close", () => resolve());
  });
}

async function failure(socket: Socket): Promise<NodeJS.ErrnoException> {
  const [error] = (await once(socket, "error")) as unknown as [NodeJS.ErrnoException];
  return error;
}

describe("FaultProxy", () => {
  test("carries bytes and the end of each direction by itself", async (t) => {
    const { client, server, proxy } = await connected(t);
    client.end("ask");
    assert.equal(await received(server), "ask");
    await once(server, "end");
    server.end("answer");
    assert.equal(await received(client), "answer");
    assert.equal(proxy.delivered("toTarget"), 3);
    assert.equal(proxy.delivered("toClient"), 6);
    await until("the connection is forgotten", () => Promise.resolve(proxy.connections === 0));
  });

  test("delivers no byte before the delay of its direction", async (t) => {
    const { client, server } = await connected(t, { toTarget: { delayMs: 80 } });
    const sentAt = performance.now();
    client.write("late");
    assert.equal(await received(server), "late");
    assert.ok(performance.now() - sentAt >= 79);
  });

  test("does not let a delay bound what is on the way", async (t) => {
    const { client, server } = await connected(t, { toTarget: { delayMs: 100 } });
    const sentAt = performance.now();
    for (let part = 0; part < 64; part++) client.write(Buffer.alloc(64 * 1024));
    client.end();
    let bytes = 0;
    let firstAt = 0;
    server.on("data", (chunk: Buffer) => {
      firstAt ||= performance.now();
      bytes += chunk.length;
    });
    await once(server, "end");
    assert.equal(bytes, 4 * 2 ** 20);
    // One delay for all of it, not one for each of its 64 parts.
    assert.ok(performance.now() - sentAt < 64 * 100, "parts waited for each other");
    assert.ok(firstAt - sentAt >= 99);
  });

  test("takes at least as long as the bandwidth of its direction says", async (t) => {
    const { client, server } = await connected(t, { toClient: { bytesPerSecond: 1_000_000 } });
    const sentAt = performance.now();
    server.end(Buffer.alloc(100_000));
    client.resume();
    await once(client, "end");
    assert.ok(performance.now() - sentAt >= 95);
  });

  test("stall() holds back bytes and the end, resume() delivers them", async (t) => {
    const { client, server, proxy } = await connected(t);
    const arrived: string[] = [];
    server.on("data", (chunk: Buffer) => arrived.push(chunk.toString()));
    proxy.stall("toTarget");
    client.end("held");
    // The other direction passes after it, so the first had its time.
    server.write("free");
    assert.equal(await received(client), "free");
    assert.deepEqual(arrived, []);
    proxy.resume("toTarget");
    await once(server, "end");
    assert.deepEqual(arrived, ["held"]);
  });

  test("stallAt() delivers what comes before a text, and holds back it and what follows", async (t) => {
    const { client, server, proxy } = await connected(t);
    const sprung = proxy.stallAt("toTarget", "PUT", 2);
    client.write("PUT a; P");
    assert.equal(await received(server), "PUT a; P");
    client.write("UT b; PUT c");
    await sprung;
    proxy.resume();
    assert.equal(await received(server), "UT b; PUT c");
    const again = proxy.stallAt("toTarget", "PUT");
    client.write("GET d; PUT e");
    assert.equal(await received(server), "GET d; ");
    await again;
    const gone = closed(server);
    const rest: string[] = [];
    server.on("data", (chunk: Buffer) => rest.push(chunk.toString()));
    proxy.cut();
    await gone;
    assert.deepEqual(rest, []);
  });

  test("cut() resets both sides and takes new connections", async (t) => {
    const { client, server, proxy } = await connected(t);
    const errors = Promise.all([failure(client), failure(server)]);
    proxy.cut();
    for (const error of await errors) assert.equal(error.code, "ECONNRESET");
    const again = connect(proxy.port, "127.0.0.1");
    t.after(() => again.destroy());
    await once(again, "connect");
  });

  test("cut() ends a stalled connection", async (t) => {
    const { client, proxy } = await connected(t);
    proxy.stall();
    client.write("held");
    const gone = closed(client);
    proxy.cut();
    await gone;
  });

  test("refuse() turns new connections away until accept()", async (t) => {
    const { client, proxy } = await connected(t);
    const gone = closed(client);
    await proxy.refuse();
    await gone;
    const refused = connect(proxy.port, "127.0.0.1");
    assert.equal((await failure(refused)).code, "ECONNREFUSED");
    await proxy.accept();
    const again = connect(proxy.port, "127.0.0.1");
    t.after(() => again.destroy());
    await once(again, "connect");
  });
});
