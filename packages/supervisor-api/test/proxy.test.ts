import assert from "node:assert/strict";
import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { describe, test, type TestContext } from "node:test";
import { Client, protocols, textOf, type Protocol } from "./support/client.ts";
import { FakeApiserver, type Seen } from "./support/fake-apiserver.ts";
import { fileScope } from "./support/scope.ts";
import { startListener } from "./support/start-listener.ts";
import { TestPki } from "./support/test-pki.ts";

interface Opened {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: AsyncIterable<unknown> & {
    pause(): unknown;
    destroy(): unknown;
    on(event: string, listener: () => void): unknown;
  };
}

describe("proxy", async () => {
  const pki = await TestPki.create(fileScope());
  const admin = pki.read("admin");

  async function setUp(t: TestContext) {
    const fake = await FakeApiserver.start(t, pki);
    const started = await startListener(t, { pki, apiserverPort: fake.port });
    return { fake, client: new Client(pki, started.port), ...started };
  }

  /** Begins a request as admin and returns when the head of the answer is there. */
  async function open(t: TestContext, client: Client, [protocol, path]: readonly [Protocol, string]): Promise<Opened> {
    if (protocol === "h2") {
      const stream = client.http2(t, admin).request({ ":path": path });
      stream.on("error", () => undefined);
      const [headers] = (await once(stream, "response")) as [Record<string, unknown>];
      return { status: Number(headers[":status"]), headers, body: stream };
    }
    const request = client.http1({ path, as: admin });
    t.after(() => request.destroy());
    request.on("error", () => undefined).end();
    const [response] = (await once(request, "response")) as [IncomingMessage];
    return { status: response.statusCode ?? 0, headers: response.headers, body: response };
  }

  for (const protocol of protocols) {
    test(`sends the head of a watch before its first event, and each event at once (${protocol})`, async (t) => {
      const { fake, client } = await setUp(t);
      const arrived = Promise.withResolvers<ServerResponse>();
      fake.onRequest = (_request, response) => {
        response.writeHead(200, { "content-type": "application/json" }).flushHeaders();
        arrived.resolve(response);
      };
      const { status, body } = await open(t, client, [protocol, "/api/v1/pods?watch=1"]);
      assert.equal(status, 200);
      const response = await arrived.promise;
      const events = body[Symbol.asyncIterator]();
      for (const event of ["one\n", "two\n"]) {
        response.write(event);
        assert.equal(String((await events.next()).value), event);
      }
    });

    test(`ends the request to kube-apiserver when the client leaves (${protocol})`, async (t) => {
      const { fake, client } = await setUp(t);
      const left = Promise.withResolvers<unknown>();
      fake.onRequest = (_request, response) => {
        response.once("close", () => left.resolve(response.writableFinished));
        response.writeHead(200).flushHeaders();
      };
      const { body } = await open(t, client, [protocol, "/api/v1/pods?watch=1"]);
      body.destroy();
      assert.equal(await left.promise, false);
    });

    test(`breaks the answer off when kube-apiserver dies in the middle (${protocol})`, async (t) => {
      const { fake, client } = await setUp(t);
      fake.onRequest = (_request, response) => {
        response.writeHead(200);
        response.write("half");
      };
      const { body } = await open(t, client, [protocol, "/api/v1/pods"]);
      const read = textOf(body);
      await fake.kill();
      await assert.rejects(read);
    });

    test(`answers 503 while kube-apiserver is gone, and works again when it is back (${protocol})`, async (t) => {
      const { fake, client } = await setUp(t);
      assert.equal((await client.ask(protocol, { path: "/echo", as: admin })).status, 200);
      await fake.kill();
      const refused = await client.ask(protocol, { path: "/echo", as: admin });
      assert.equal(refused.status, 503);
      assert.equal((JSON.parse(refused.text) as { message: string }).message, "apiserver not ready");
      await FakeApiserver.start(t, pki, fake.port);
      assert.equal((await client.ask(protocol, { path: "/echo", as: admin })).status, 200);
    });

    test(`answers 502 when kube-apiserver hangs up before it answers (${protocol})`, async (t) => {
      const { fake, client } = await setUp(t);
      fake.onRequest = (request) => request.socket.destroy();
      const answer = await client.ask(protocol, { path: "/x", method: "POST", body: "a", as: admin });
      assert.equal(answer.status, 502);
      assert.equal((JSON.parse(answer.text) as { reason: string }).reason, "InternalError");
    });

    test(`holds a large list back for a slow reader, and nobody else (${protocol})`, async (t) => {
      const { fake, client } = await setUp(t);
      const chunk = Buffer.alloc(64 * 1024, "x");
      const stalled = Promise.withResolvers<number>();
      let sent = 0;
      fake.onRequest = (_request, response) => {
        response.writeHead(200);
        const fill = () => {
          while (sent < 50 * 2 ** 20) {
            sent += chunk.length;
            if (response.write(chunk)) continue;
            response.once("drain", fill);
            stalled.resolve(sent);
            return;
          }
          response.end();
        };
        fill();
      };
      const { body } = await open(t, client, [protocol, "/api/v1/secrets"]);
      body.pause();
      await stalled.promise;
      const memoryBefore = process.memoryUsage().rss;
      for (let count = 0; count < 50; count++)
        assert.equal((await client.ask(protocol, { path: "/echo", as: admin })).status, 200);
      assert.ok(sent < 20 * 2 ** 20, `kube-apiserver could send ${sent} bytes to a client that reads none`);
      assert.ok(process.memoryUsage().rss - memoryBefore < 40 * 2 ** 20);
      const text = await textOf(body);
      assert.equal(text.length, 50 * 2 ** 20);
    });

    test(`streams a body up as it comes (${protocol})`, async (t) => {
      const { fake, client } = await setUp(t);
      const answer = await client.ask(protocol, {
        path: "/echo",
        method: "PUT",
        body: Buffer.alloc(5_000_000),
        as: admin,
      });
      assert.equal((JSON.parse(answer.text) as Seen).bodyBytes, 5_000_000);
      assert.equal(fake.connections, 1);
    });

    for (const [method, status] of [
      ["HEAD", 200],
      ["GET", 304],
      ["GET", 204],
    ] as const) {
      test(`passes ${method} with ${status} on without a body (${protocol})`, async (t) => {
        const { fake, client } = await setUp(t);
        fake.onRequest = (_request, response) =>
          response.writeHead(status, { etag: '"a"', ...(status === 204 ? {} : { "content-length": "7" }) }).end();
        const answer = await client.ask(protocol, { path: "/x", method, as: admin });
        assert.deepEqual([answer.status, answer.text, answer.headers["etag"]], [status, "", '"a"']);
      });
    }

    test(`passes compressed bodies and repeated headers on as they are (${protocol})`, async (t) => {
      const { fake, client } = await setUp(t);
      fake.onRequest = (_request, response) =>
        response
          .writeHead(200, ["Content-Encoding", "gzip", "Warning", '299 - "a"', "Warning", '299 - "b"'])
          .end("zipped");
      const answer = await client.ask(protocol, { path: "/x", as: admin });
      assert.deepEqual([answer.headers["content-encoding"], answer.text], ["gzip", "zipped"]);
      assert.deepEqual(String(answer.headers["warning"]).split(/, ?/), ['299 - "a"', '299 - "b"']);
    });
  }

  test("passes trailers on over HTTP/1.1", async (t) => {
    const { fake, client } = await setUp(t);
    fake.onRequest = sendTrailers;
    const request = client.http1({ path: "/x", as: admin });
    request.end();
    const [response] = (await once(request, "response")) as [IncomingMessage];
    assert.equal(await textOf(response), "body");
    assert.equal(response.trailers["x-sum"], "5");
  });

  test("passes trailers on over HTTP/2", async (t) => {
    const { fake, client } = await setUp(t);
    fake.onRequest = sendTrailers;
    const stream = client.http2(t, admin).request({ ":path": "/x" });
    const trailers = once(stream, "trailers");
    assert.equal(await textOf(stream), "body");
    assert.equal(((await trailers) as [Record<string, string>])[0]["x-sum"], "5");
  });

  test("asks for a body only when kube-apiserver does", async (t) => {
    const { fake, client } = await setUp(t);
    const expect = { expect: "100-continue", "content-length": "3" };
    const request = client.http1({ path: "/echo", method: "POST", headers: expect, as: admin });
    request.flushHeaders();
    await once(request, "continue");
    request.end("abc");
    const [response] = (await once(request, "response")) as [IncomingMessage];
    assert.equal((JSON.parse(await textOf(response)) as Seen).bodyBytes, 3);
    fake.refuseBodies();
    const second = client.http1({ path: "/x", method: "POST", headers: expect, as: admin });
    let isContinued = false;
    second.on("continue", () => (isContinued = true)).on("error", () => undefined);
    second.flushHeaders();
    const [refusal] = (await once(second, "response")) as [IncomingMessage];
    assert.deepEqual([refusal.statusCode, isContinued], [413, false]);
  });

  test("passes early hints on", async (t) => {
    const { fake, client } = await setUp(t);
    fake.onRequest = (_request, response) =>
      response.writeEarlyHints({ link: "</a>; rel=preload" }, () => response.writeHead(200).end());
    const request = client.http1({ path: "/x", as: admin });
    const information = once(request, "information");
    request.end();
    const [hint] = (await information) as [{ statusCode: number; headers: Record<string, string> }];
    assert.deepEqual([hint.statusCode, hint.headers["link"]], [103, "</a>; rel=preload"]);
  });

  test("asks again on a fresh connection when a pooled one had just been closed", async (t) => {
    const { fake, client } = await setUp(t);
    let requests = 0;
    fake.onRequest = (request, response) => {
      requests += 1;
      if (requests === 2) request.socket.destroy();
      else response.writeHead(200).end("ok");
    };
    assert.equal((await client.ask("h2", { path: "/x", as: admin })).status, 200);
    assert.equal((await client.ask("h2", { path: "/x", as: admin })).status, 200);
    assert.equal(requests, 3);
  });

  test("asks once when a fresh connection is lost", async (t) => {
    const { fake, client } = await setUp(t);
    let requests = 0;
    fake.onRequest = (request) => {
      requests += 1;
      request.socket.destroy();
    };
    const { status } = await client.ask("h2", { path: "/x", as: admin });
    assert.deepEqual([status, requests], [502, 1]);
  });

  const unspeakable = [
    { name: "a status that HTTP/2 does not have", raw: "HTTP/1.1 700 Odd\r\nContent-Length: 0\r\n\r\n" },
    { name: "a header that HTTP/2 forbids", raw: "HTTP/1.1 200 OK\r\nHTTP2-Settings: a\r\nContent-Length: 0\r\n\r\n" },
  ];
  for (const { name, raw } of unspeakable) {
    test(`answers 502 for ${name}`, async (t) => {
      const { fake, client } = await setUp(t);
      fake.onRequest = (request) => request.socket.end(raw);
      assert.equal((await client.ask("h2", { path: "/x", as: admin })).status, 502);
      assert.equal((await client.ask("h2", { path: "/echo", as: admin })).status, 200);
    });
  }

  for (const protocol of protocols) {
    test(`survives hints and trailers that make no sense (${protocol})`, async (t) => {
      const { fake, client } = await setUp(t);
      const hints = "HTTP/1.1 103 Early Hints\r\nLink: nonsense\r\n\r\n";
      const head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
      fake.onRequest = (request) =>
        request.socket.end(`${hints}${head}2\r\nhi\r\n0\r\nConnection: close\r\nHTTP2-Settings: a\r\n\r\n`);
      await client.ask(protocol, { path: "/x", as: admin }).catch(() => undefined);
      assert.equal((await client.ask(protocol, { path: "/echo", as: admin })).status, 200);
    });
  }

  test("one reader that stops reading does not hold up the other streams of its HTTP/2 connection", async (t) => {
    const { fake, client } = await setUp(t);
    fake.onRequest = (_request, response) => response.writeHead(200).end(Buffer.alloc(30 * 2 ** 20));
    const session = client.http2(t, admin);
    const stalled = session.request({ ":path": "/api/v1/secrets" });
    stalled.on("error", () => undefined);
    await once(stalled, "response");
    stalled.pause();
    for (let count = 0; count < 20; count++) {
      const text = await textOf(session.request({ ":path": "/echo" }));
      assert.equal((JSON.parse(text) as Seen).url, "/echo");
    }
  });
});

function sendTrailers(_request: IncomingMessage, response: ServerResponse): void {
  response.writeHead(200, { trailer: "X-Sum" });
  response.write("body");
  response.addTrailers({ "x-sum": "5" });
  response.end();
}
