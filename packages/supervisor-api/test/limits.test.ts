import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { describe, test, type TestContext } from "node:test";
import type { ConnectionLimits } from "../src/index.ts";
import { Client, textOf } from "./support/client.ts";
import { FakeApiserver } from "./support/fake-apiserver.ts";
import { fileScope } from "./support/scope.ts";
import { startListener } from "./support/start-listener.ts";
import { TestPki } from "./support/test-pki.ts";

describe("limits", async () => {
  const pki = await TestPki.create(fileScope());
  const admin = pki.read("admin");

  async function setUp(t: TestContext, limits: Partial<ConnectionLimits> = {}) {
    const fake = await FakeApiserver.start(t, pki);
    const started = await startListener(t, { pki, apiserverPort: fake.port, limits });
    return { fake, client: new Client(pki, started.port), ...started };
  }

  async function tcp(t: TestContext, port: number): Promise<Socket> {
    const socket = connect(port, "127.0.0.1");
    t.after(() => socket.destroy());
    socket.on("error", () => undefined).resume();
    await once(socket, "connect");
    return socket;
  }

  test("a connection that says nothing is closed", async (t) => {
    const { port } = await setUp(t, { unprovenIdleMs: 100 });
    const socket = await tcp(t, port);
    await once(socket, "close");
  });

  test("a connection that trickles its handshake is closed", async (t) => {
    const { port } = await setUp(t, { unprovenIdleMs: 100 });
    const socket = await tcp(t, port);
    socket.write(Buffer.from([0x16, 0x03, 0x01]));
    await once(socket, "close");
  });

  test("a client that trickles its headers is closed", async (t) => {
    const { client } = await setUp(t, { unprovenIdleMs: 100 });
    const socket = await client.tls(t);
    socket.write("GET /ping HTTP/1.1\r\nHost:");
    socket.resume();
    await once(socket, "close");
  });

  test("an HTTP/2 client that only opens a session is closed", async (t) => {
    const { client } = await setUp(t, { unprovenIdleMs: 100 });
    await once(client.http2(t), "close");
  });

  test("a request of an unknown client is cut off after the total time", async (t) => {
    const { fake, client } = await setUp(t, { unprovenTotalMs: 100 });
    fake.onRequest = () => undefined;
    const request = client.http1({ path: "/x" });
    request.end();
    await assert.rejects(once(request, "response"));
  });

  test("a client with a certificate is left alone when it is quiet", async (t) => {
    const { client } = await setUp(t, { unprovenIdleMs: 1, unprovenTotalMs: 1 });
    const quiet = client.http2(t, admin);
    await once(quiet, "remoteSettings");
    await once(client.http2(t), "close"); // the sweep that would have taken it as well
    assert.match(await textOf(quiet.request({ ":path": "/ping" })), /pong/);
  });

  for (const status of [200, 201, 403]) {
    test(`a client whose token kube-apiserver took is left alone (${status})`, async (t) => {
      const { client } = await setUp(t, { unprovenIdleMs: 100 });
      const session = client.http2(t);
      await textOf(session.request({ ":path": `/echo?status=${status}`, authorization: "Bearer t" }));
      await once(client.http2(t), "close"); // the sweep that would have taken it as well
      assert.equal(await textOf(session.request({ ":path": "/ping" })), "pong");
    });
  }

  for (const status of [400, 401, 404, 431, 500, 503]) {
    test(`a client whose token nobody may have looked at is closed (${status})`, async (t) => {
      const { client } = await setUp(t, { unprovenIdleMs: 100 });
      const session = client.http2(t);
      const closed = once(session, "close");
      await textOf(session.request({ ":path": `/echo?status=${status}`, authorization: "Bearer t" }));
      await closed;
    });
  }

  test("what only looks like a token does not count", async (t) => {
    const { client } = await setUp(t, { unprovenIdleMs: 100 });
    const session = client.http2(t);
    const closed = once(session, "close");
    await textOf(session.request({ ":path": "/echo", authorization: "Bearer  two-spaces" }));
    await closed;
  });

  test("the oldest of too many unknown connections makes room for a new one", async (t) => {
    const { port, client } = await setUp(t, { unprovenMax: 3 });
    const proven = client.http2(t, admin);
    await once(proven, "remoteSettings");
    const [first, ...others] = [await tcp(t, port), await tcp(t, port), await tcp(t, port)];
    const closed = once(first, "close");
    assert.equal((await client.ask("http/1.1", { path: "/ping" })).text, "pong");
    await closed;
    assert.deepEqual(
      others.map((socket) => socket.closed),
      [false, false],
    );
    assert.equal(await textOf(proven.request({ ":path": "/ping" })), "pong");
  });

  test("too many requests of unknown clients get 429, known ones do not", async (t) => {
    const { fake, client } = await setUp(t, { unprovenRequestsMax: 1 });
    const arrived = Promise.withResolvers<void>();
    fake.onRequest = () => arrived.resolve();
    const session = client.http2(t);
    session.request({ ":path": "/slow" }).on("error", () => undefined);
    await arrived.promise;
    const refused = await client.ask("http/1.1", { path: "/echo" });
    assert.deepEqual([refused.status, refused.headers["retry-after"]], [429, "1"]);
    assert.equal((await client.ask("http/1.1", { path: "/echo", as: admin })).status, 200);
  });

  test("headers beyond the limit are refused", async (t) => {
    const { client } = await setUp(t);
    const big = { "x-big": "x".repeat(200_000) };
    // The answer may be lost: the client is still sending when the connection is closed.
    const refused = client.ask("http/1.1", { path: "/ping", headers: big });
    assert.ok(
      [431, "closed"].includes(
        await refused.then(
          (answer) => answer.status,
          () => "closed",
        ),
      ),
    );
    const stream = client.http2(t).request({ ":path": "/ping", ...big });
    await assert.rejects(textOf(stream));
    assert.equal((await client.ask("h2", { path: "/ping" })).text, "pong");
  });

  test("a long token passes", async (t) => {
    const { client } = await setUp(t);
    const answer = await client.ask("h2", {
      path: "/echo",
      headers: { authorization: `Bearer ${"x".repeat(50_000)}` },
    });
    assert.equal(answer.status, 200);
  });

  test("what is not TLS is closed without an answer", async (t) => {
    const { port } = await setUp(t);
    const socket = await tcp(t, port);
    socket.write("GET /ping HTTP/1.1\r\nHost: a\r\n\r\n");
    await once(socket, "close");
  });
});
