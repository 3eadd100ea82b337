import assert from "node:assert/strict";
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { describe, test, type TestContext } from "node:test";
import { aborted } from "@k3s/async";
import { ANYBODY_KNOWN, failures, RouteRefusal, type ConnectRoute, type Route, type Routes } from "../src/index.ts";
import { Client, protocols } from "./support/client.ts";
import { fileScope } from "./support/scope.ts";
import { startListener } from "./support/start-listener.ts";
import { TestPki } from "./support/test-pki.ts";

const PATH = "/v1-k3s/x";
const ADDRESSES = ["127.0.0.1", "127.0.0.2", "127.0.0.3"];
/** Nobody is turned away because a busy machine took its time. */
const PATIENT = { turnMs: 300_000 };
const agent = { authorization: `Basic ${Buffer.from("node:se:cret").toString("base64")}` };

function routes(some: Partial<Routes>): Routes {
  return { paths: new Map(), upgrades: new Map(), connect: undefined, ...some };
}

function routeOf(answer: Route["answer"], more: Partial<Route> = {}): Routes {
  return routes({ paths: new Map([[PATH, { groups: ["k3s:agent"], answer, ...more }]]) });
}

describe("own routes", async () => {
  const pki = await TestPki.create(fileScope());
  const node = await pki.leaf("node", { ca: "client-ca", subject: "/O=system:nodes/CN=system:node:n1" });
  const admin = pki.read("admin");

  for (const protocol of protocols) {
    test(`get method, headers, caller and the whole body over ${protocol}`, async (t) => {
      const answer: Route["answer"] = async (request) => {
        const seen = [request.method, request.caller, request.header("k3s-node-name"), (await request.body()).length];
        return { status: 201, contentType: "application/json", headers: ["X-Y", "z"], body: JSON.stringify(seen) };
      };
      const { port } = await startListener(t, { pki, routes: routeOf(answer) });
      const headers = { ...agent, "k3s-Node-Name": "n1" };
      const body = Buffer.alloc(200_000, 7);
      const got = await new Client(pki, port).ask(protocol, { path: PATH, method: "POST", headers, body });
      assert.equal(got.status, 201);
      assert.equal(got.headers["x-y"], "z");
      assert.deepEqual(JSON.parse(got.text), [
        "POST",
        { name: "node", groups: ["k3s:agent"], proof: "password" },
        "n1",
        200_000,
      ]);
    });

    test(`refuse a body that is too long over ${protocol}`, async (t) => {
      const answer: Route["answer"] = async (request) => ({ body: String((await request.body()).length) });
      const { port } = await startListener(t, { pki, routes: routeOf(answer) });
      const body = Buffer.alloc(1024 * 1024 + 1);
      const got = await new Client(pki, port).ask(protocol, { path: PATH, method: "POST", headers: agent, body });
      assert.equal(got.status, 413);
    });
  }

  test("answer a refusal as a Status, and hide what went wrong inside", async (t) => {
    const failure = { code: 418, reason: "Teapot", message: "short and stout" };
    for (const [error, status, message] of [
      [new RouteRefusal(failure), 418, "short and stout"],
      [new Error("secret"), 500, failures.internal.message],
    ] as const) {
      const { port } = await startListener(t, { pki, routes: routeOf(() => Promise.reject(error)) });
      const got = await new Client(pki, port).ask("h2", { path: PATH, headers: agent });
      assert.equal(got.status, status);
      assert.equal((JSON.parse(got.text) as { message: string }).message, message);
    }
  });

  test("for anybody who is known tell strangers that they are not", async (t) => {
    const answer: Route["answer"] = ({ caller, query }) =>
      Promise.resolve({ body: `${caller.name} ${query.getAll("x").join()}` });
    const { port } = await startListener(t, { pki, routes: routeOf(answer, { groups: [ANYBODY_KNOWN] }) });
    const client = new Client(pki, port);
    const path = `${PATH}?x=1&x=%32`;
    for (const protocol of protocols) {
      assert.equal((await client.ask(protocol, { path })).status, 401);
      assert.equal((await client.ask(protocol, { path, headers: { authorization: "Bearer x" } })).status, 401);
      assert.equal((await client.ask(protocol, { path, as: node })).text, "system:node:n1 1,2");
    }
  });

  test("are all there is on a machine without kube-apiserver", async (t) => {
    const answer: Route["answer"] = () => Promise.resolve({ body: "here" });
    const { port } = await startListener(t, { pki, apiserver: undefined, routes: routeOf(answer) });
    const client = new Client(pki, port);
    for (const protocol of protocols) {
      assert.equal((await client.ask(protocol, { path: PATH, headers: agent })).text, "here");
      assert.equal((await client.ask(protocol, { path: "/api/v1/pods", as: admin })).status, 404);
    }
    const headers = { connection: "Upgrade", upgrade: "websocket" };
    assert.equal((await client.ask("http/1.1", { path: "/api/v1/pods", as: admin, headers })).status, 404);
  });

  test("take a bearer token that kube-apiserver knows, but only while that answers", async (t) => {
    const tokens = {
      check: (token: string, remoteAddress: string) => {
        assert.equal(remoteAddress, "127.0.0.1");
        const isKnown = token === "abcdef.0123456789abcdef";
        return Promise.resolve(isKnown ? { name: "b", groups: ["k3s:agent"] } : undefined);
      },
    };
    const answer: Route["answer"] = ({ caller }) => Promise.resolve({ body: caller.proof });
    const { listener, port } = await startListener(t, { pki, tokens, routes: routeOf(answer) });
    const ask = async (token: string) => {
      const headers = { authorization: `Bearer ${token}` };
      const { status, text } = await new Client(pki, port).ask("http/1.1", { path: PATH, headers });
      return status === 200 ? text : status;
    };
    assert.equal(await ask("abcdef.0123456789abcdef"), "token");
    assert.equal(await ask("abcdef.wrong"), 401);
    listener.setApiserverReady(false);
    assert.equal(await ask("abcdef.0123456789abcdef"), 503);
  });

  test("say that they are not ready while kube-apiserver does not tell whose a token is", async (t) => {
    const tokens = { check: () => Promise.reject(new Error("connection refused")) };
    const { port } = await startListener(t, { pki, tokens, routes: routeOf(() => Promise.resolve({ body: "" })) });
    const ask = { path: PATH, headers: { authorization: "Bearer abcdef.0123456789abcdef" } };
    const { status, text } = await new Client(pki, port).ask("http/1.1", ask);
    assert.equal(status, 503);
    assert.match(text, /"reason":"ServiceUnavailable"/);
    assert.equal((await new Client(pki, port).ask("http/1.1", { ...ask, as: node })).status, 403);
  });

  for (const protocol of protocols) {
    test(`get nothing of a body that does not come, which takes no place of others, over ${protocol}`, async (t) => {
      const answer: Route["answer"] = async (request) => ({ body: String((await request.body()).length) });
      const limits = { bodyMs: 1_000 };
      const { port } = await startListener(t, { pki, limits, routes: routeOf(answer, { lane: "agents" }) });
      const client = new Client(pki, port);
      const head = { path: PATH, method: "POST", headers: { ...agent, "content-length": "10" } };
      const stalled = Array.from({ length: 12 }, () => stall(t, { client, protocol, head }));
      const ask = { path: PATH, method: "POST", headers: agent, body: "whole" };
      assert.equal((await client.ask(protocol, ask)).text, "5");
      assert.deepEqual(new Set(await Promise.all(stalled)), new Set([408]));
    });
  }

  test("carry out twenty readers of a lane at a time, and the others in their turn", async (t) => {
    let running = 0;
    let most = 0;
    const gate = Promise.withResolvers<void>();
    const answer: Route["answer"] = async () => {
      most = Math.max(most, ++running);
      if (running === 20) setImmediate(() => gate.resolve()); // nobody else came in meanwhile
      await gate.promise;
      running -= 1;
      return { body: "" };
    };
    const { port } = await startListener(t, { pki, limits: PATIENT, routes: routeOf(answer, { lane: "agents" }) });
    const all = ADDRESSES.flatMap((from) => {
      const client = new Client(pki, port, from);
      return Array.from({ length: 14 }, () => client.ask("http/1.1", { path: PATH, headers: agent }));
    });
    assert.deepEqual(new Set((await Promise.all(all)).map(({ status }) => status)), new Set([200]));
    assert.equal(most, 20);
  });

  test("carry out ten writers of a lane at a time, beside which readers are served, and the others in their turn", async (t) => {
    const { writing, read, ask, open } = await startGate(t, ADDRESSES);
    const writers = ADDRESSES.flatMap((from) => Array.from({ length: 6 }, () => ask(from)));
    while (writing() < 10) await read();
    for (let round = 0; round < 10; round++) assert.equal(await read(), "10");
    open();
    assert.deepEqual(new Set((await Promise.all(writers)).map(({ status }) => status)), new Set([200]));
    assert.equal(writing(), 18);
  });

  test("leave places of a lane to other addresses than the one that has many writers at work and waiting", async (t) => {
    const { writing, read, ask, open } = await startGate(t, ["127.0.0.2"]);
    const writers = Array.from({ length: 40 }, () => ask("127.0.0.2"));
    while (writing() < 4) await read();
    assert.equal((await ask("127.0.0.1")).text, "127.0.0.1");
    for (let round = 0; round < 10; round++) assert.equal(await read(), "5");
    open();
    assert.deepEqual(new Set((await Promise.all(writers)).map(({ status }) => status)), new Set([200]));
  });

  /** Writers that come from one of `held` are not answered before `open`; readers are told how many writers have come. */
  async function startGate(t: TestContext, held: readonly string[]) {
    const gate = Promise.withResolvers<void>();
    let writing = 0;
    const answer: Route["answer"] = async ({ method, remoteAddress }) => {
      if (method === "GET") return { body: String(writing) };
      writing += 1;
      if (held.includes(remoteAddress)) await gate.promise;
      return { body: remoteAddress };
    };
    const { port } = await startListener(t, { pki, limits: PATIENT, routes: routeOf(answer, { lane: "agents" }) });
    const read = async () => (await new Client(pki, port).ask("http/1.1", { path: PATH, headers: agent })).text;
    const ask = (from: string) =>
      new Client(pki, port, from).ask("http/1.1", { path: PATH, method: "POST", headers: agent });
    return { writing: () => writing, read, ask, open: () => gate.resolve() };
  }

  test("switch the protocol for a member of the group, with what the client sent early", async (t) => {
    const upgrades: Routes["upgrades"] = new Map([
      [
        PATH,
        {
          groups: ["system:nodes"],
          upgrade: ({ caller, request, accept }) => {
            const { socket } = accept();
            socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n`);
            socket.end(`${caller.name} ${String(request.headers["x-id"])}`);
          },
        },
      ],
    ]);
    const { port } = await startListener(t, { pki, routes: routes({ upgrades }) });
    const request = `GET ${PATH} HTTP/1.1\r\nHost: x\r\nUpgrade: x\r\nConnection: Upgrade\r\nX-Id: 7\r\n\r\n`;
    assert.match(
      await speak(t, { pki, port, as: node, text: request }),
      /^HTTP\/1\.1 101 .*\r\n\r\nsystem:node:n1 7$/s,
    );
    assert.match(await speak(t, { pki, port, as: admin, text: request }), /^HTTP\/1\.1 403 /);
    const plain = await new Client(pki, port).ask("h2", { path: PATH, as: node });
    assert.equal(plain.status, 400);
  });

  test("connect kube-apiserver to where it asks for, and nobody else", async (t) => {
    const echo = createServer((socket) => socket.on("error", () => undefined).pipe(socket)).listen(0, "127.0.0.1");
    t.after(() => echo.close());
    await once(echo, "listening");
    const dialled: string[] = [];
    const route: Routes["connect"] = {
      groups: ["system:masters"],
      dial: (target) => {
        dialled.push(target);
        if (target.startsWith("nowhere")) return Promise.reject(new RouteRefusal(failures.badGateway));
        return Promise.resolve(connect((echo.address() as AddressInfo).port, "127.0.0.1"));
      },
    };
    const { port } = await startListener(t, { pki, routes: routes({ connect: route }) });
    const ask = (target: string) => `CONNECT ${target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`;
    const socket = await new Client(pki, port).tls(t, admin);
    socket.write(ask("10.0.0.7:10250"));
    assert.equal(String((await once(socket, "data"))[0]), "HTTP/1.1 200 OK\r\n\r\n");
    socket.end("to and fro");
    assert.equal(String((await once(socket, "data"))[0]), "to and fro");
    assert.match(await speak(t, { pki, port, as: admin, text: ask("nowhere:1") }), /^HTTP\/1\.1 502 /);
    assert.match(await speak(t, { pki, port, as: node, text: ask("10.0.0.7:10250") }), /^HTTP\/1\.1 403 /);
    assert.deepEqual(dialled, ["10.0.0.7:10250", "nowhere:1"]);
  });

  test("keep no connection for a client that left while it was made", async (t) => {
    const backend = await connected(t);
    const asked = Promise.withResolvers<AbortSignal>();
    const made = Promise.withResolvers<Duplex>();
    const dial: ConnectRoute["dial"] = (_target, signal) => {
      asked.resolve(signal);
      return made.promise;
    };
    const { port } = await startListener(t, { pki, routes: routes({ connect: { groups: ["system:masters"], dial } }) });
    const client = await new Client(pki, port).tls(t, admin);
    client.write("CONNECT 10.0.0.7:10250 HTTP/1.1\r\nHost: x\r\n\r\n");
    const signal = await asked.promise;
    client.destroy();
    await aborted(signal);
    const closed = once(backend, "close");
    made.resolve(backend);
    await closed;
  });

  test("let a client go whose connection was over before it got it", async (t) => {
    const backend = await connected(t);
    backend.destroy();
    await once(backend, "close");
    const connect: ConnectRoute = { groups: ["system:masters"], dial: () => Promise.resolve(backend) };
    const { port } = await startListener(t, { pki, routes: routes({ connect }) });
    const text = "CONNECT 10.0.0.7:10250 HTTP/1.1\r\nHost: x\r\n\r\n";
    assert.equal(await speak(t, { pki, port, as: admin, text }), "HTTP/1.1 200 OK\r\n\r\n");
  });
});

/** A connection to somebody who listens and says nothing. */
async function connected(t: TestContext): Promise<Socket> {
  const server = createServer((socket) => void socket.resume().on("error", () => undefined)).listen(0, "127.0.0.1");
  t.after(() => server.close());
  await once(server, "listening");
  const socket = connect({ port: (server.address() as AddressInfo).port, host: "127.0.0.1", allowHalfOpen: true });
  t.after(() => socket.destroy());
  await once(socket, "connect");
  return socket;
}

interface Stall {
  readonly client: Client;
  readonly protocol: (typeof protocols)[number];
  readonly head: { readonly path: string; readonly method: string; readonly headers: Readonly<Record<string, string>> };
}

/** Sends half of a body; resolves with the status. */
async function stall(t: TestContext, { client, protocol, head }: Stall): Promise<number> {
  if (protocol === "h2") {
    const stream = client.http2(t).request({ ":path": head.path, ":method": head.method, ...head.headers });
    stream.on("error", () => undefined);
    stream.write("half!");
    const [answer] = (await once(stream, "response")) as [Record<string, number>];
    return answer[":status"] ?? 0;
  }
  const request = client.http1(head);
  t.after(() => request.destroy());
  request.on("error", () => undefined);
  request.write("half!");
  const [response] = (await once(request, "response")) as [IncomingMessage];
  return response.statusCode ?? 0;
}

interface Speech {
  readonly pki: TestPki;
  readonly port: number;
  readonly as: Parameters<Client["tls"]>[1];
  readonly text: string;
}

/** Everything the server says to one request on a connection of its own. */
async function speak(t: TestContext, { pki, port, as, text }: Speech): Promise<string> {
  const socket = await new Client(pki, port).tls(t, as);
  socket.write(text);
  let answer = "";
  for await (const chunk of socket) answer += String(chunk);
  return answer;
}
