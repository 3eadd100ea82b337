import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, test, type TestContext } from "node:test";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import { Client } from "./support/client.ts";
import { FakeApiserver } from "./support/fake-apiserver.ts";
import { fileScope } from "./support/scope.ts";
import { startListener } from "./support/start-listener.ts";
import { TestPki } from "./support/test-pki.ts";

const EXEC = "POST /api/v1/namespaces/default/pods/p/exec?command=sh HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n";
const SPDY = "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n";
const ACCEPTED = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n";

describe("protocol switch", async () => {
  const pki = await TestPki.create(fileScope());
  const admin = pki.read("admin");

  async function setUp(t: TestContext) {
    const fake = await FakeApiserver.start(t, pki);
    const started = await startListener(t, { pki, apiserverPort: fake.port });
    const socket = await new Client(pki, started.port).tls(t, admin);
    return { fake, socket, ...started };
  }

  /** Sends the request and returns kube-apiserver's end of what it became. */
  async function switched(t: TestContext, early = "") {
    const { fake, socket, ...rest } = await setUp(t);
    const upgraded = Promise.withResolvers<Duplex>();
    let headers: readonly string[] = [];
    fake.onUpgrade = (request, upstream, head) => {
      headers = request.rawHeaders;
      upstream.on("error", () => undefined);
      upstream.allowHalfOpen = true;
      upstream.write(ACCEPTED);
      upstream.unshift(head);
      upgraded.resolve(upstream);
    };
    socket.allowHalfOpen = true;
    socket.write(`${EXEC}${SPDY}\r\n${early}`);
    const upstream = await upgraded.promise;
    assert.equal(await readUntil(socket, "\r\n\r\n"), ACCEPTED);
    return { socket, upstream, headers, ...rest };
  }

  test("carries the identity and the protocol", async (t) => {
    const { headers } = await switched(t);
    const pairs = headers.flatMap((name, index) => (index % 2 === 0 ? [`${name}: ${headers[index + 1] ?? ""}`] : []));
    for (const line of [
      "X-Remote-User: system:admin",
      "Connection: Upgrade",
      "Upgrade: SPDY/3.1",
      "X-Stream-Protocol-Version: v4.channel.k8s.io",
    ])
      assert.ok(pairs.includes(line), `${line} is missing in ${pairs.join(", ")}`);
  });

  test("passes bytes both ways, also those sent before the answer", async (t) => {
    const { socket, upstream } = await switched(t, "early");
    assert.equal(await readUntil(upstream, "early"), "early");
    upstream.write("from the pod");
    assert.equal(await readUntil(socket, "pod"), "from the pod");
    socket.write("to the pod");
    assert.equal(await readUntil(upstream, "pod"), "to the pod");
  });

  test("passes megabytes both ways at the same time", async (t) => {
    const { socket, upstream } = await switched(t);
    const data = Buffer.alloc(8 * 2 ** 20, "x");
    const counts = [count(socket), count(upstream)];
    socket.end(data);
    upstream.end(data);
    assert.deepEqual(await Promise.all(counts), [data.length, data.length]);
  });

  test("passes the end of one direction on and keeps the other", async (t) => {
    const { socket, upstream } = await switched(t);
    const ended = once(upstream, "end");
    upstream.resume();
    socket.end("last words");
    await ended;
    upstream.end("answer to the last words");
    assert.equal(await readUntil(socket, "words"), "answer to the last words");
  });

  test("closes kube-apiserver's side when the client is gone", async (t) => {
    const { socket, upstream } = await switched(t);
    const closed = once(upstream, "close");
    upstream.resume();
    upstream.on("end", () => upstream.end());
    socket.destroy();
    await closed;
  });

  test("closes the client's side when kube-apiserver is gone", async (t) => {
    const { socket, upstream } = await switched(t);
    const ended = once(socket, "end");
    socket.resume();
    upstream.destroy();
    await ended;
  });

  test("passes a refusal on as an ordinary answer and takes nothing more from the client", async (t) => {
    const { fake, socket } = await setUp(t);
    const paths: string[] = [];
    fake.onUpgrade = (request, upstream) => {
      paths.push(request.url ?? "");
      upstream.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
    };
    fake.onRequest = (request, response) => {
      paths.push(request.url ?? "");
      response.end();
    };
    const smuggled = "GET /api/v1/secrets HTTP/1.1\r\nHost: a\r\nX-Remote-User: root\r\n\r\n";
    socket.write(`${EXEC}${SPDY}\r\n${smuggled}`);
    const text = await readUntil(socket, undefined);
    assert.match(text, /^HTTP\/1\.1 403 Forbidden\r\n.*\r\n\r\nno$/s);
    assert.match(text, /\r\nConnection: close\r\n/);
    assert.deepEqual(paths, ["/api/v1/namespaces/default/pods/p/exec?command=sh"]);
  });

  test("treats a request with a body as an ordinary one", async (t) => {
    const { fake, socket } = await setUp(t);
    fake.onRequest = (request, response) => response.end(`upgrade is ${request.headers.upgrade ?? "absent"}`);
    socket.write(`POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n${SPDY}\r\nhi`);
    assert.match(await readUntil(socket, "absent"), /^HTTP\/1\.1 200 /);
  });

  test("answers the supervisor's own paths as if no switch was asked for", async (t) => {
    const { socket } = await setUp(t);
    socket.write(`GET /ping HTTP/1.1\r\nHost: a\r\n${SPDY}\r\n`);
    assert.match(await readUntil(socket, "pong"), /^HTTP\/1\.1 200 /);
  });

  test("answers 503 when kube-apiserver is not there", async (t) => {
    const { fake, socket } = await setUp(t);
    await fake.kill();
    socket.write(`${EXEC}${SPDY}\r\n`);
    assert.match(await readUntil(socket, undefined), /^HTTP\/1\.1 503 .*apiserver not ready/s);
  });

  test("stop() ends switched protocols at once", async (t) => {
    const { socket, listener } = await switched(t);
    socket.resume();
    const closed = once(socket, "close");
    socket.on("end", () => socket.destroy());
    await listener.stop(AbortSignal.timeout(20_000));
    await closed;
  });
});

/** What arrives up to and with `end`; up to the end of the stream without it. */
async function readUntil(stream: Duplex | TLSSocket, end: string | undefined): Promise<string> {
  let text = "";
  while (end === undefined || !text.endsWith(end)) {
    const chunk = stream.read() as Buffer | null;
    if (chunk !== null) text += chunk.toString("latin1");
    else if (stream.readableEnded) break;
    else await Promise.race([once(stream, "readable"), once(stream, "end")]);
  }
  return text;
}

async function count(stream: Duplex): Promise<number> {
  let bytes = 0;
  for await (const chunk of stream.iterator({ destroyOnReturn: false })) bytes += (chunk as Buffer).length;
  return bytes;
}
