import assert from "node:assert/strict";
import { once } from "node:events";
import type { ServerResponse } from "node:http";
import { describe, test, type TestContext } from "node:test";
import { SupervisorListener } from "../src/index.ts";
import { Client, protocols, textOf } from "./support/client.ts";
import { FakeApiserver } from "./support/fake-apiserver.ts";
import { fileScope } from "./support/scope.ts";
import { startListener } from "./support/start-listener.ts";
import { TestPki } from "./support/test-pki.ts";

const SOON_MS = 20_000;

describe("SupervisorListener.stop()", async () => {
  const pki = await TestPki.create(fileScope());
  const admin = pki.read("admin");

  async function setUp(t: TestContext) {
    const fake = await FakeApiserver.start(t, pki);
    const started = await startListener(t, { pki, apiserverPort: fake.port });
    const arrived = Promise.withResolvers<ServerResponse>();
    fake.onRequest = (_request, response) => arrived.resolve(response);
    return { fake, client: new Client(pki, started.port), arrived: arrived.promise, ...started };
  }

  for (const protocol of protocols) {
    test(`lets a request in flight come to its end (${protocol})`, async (t) => {
      const { client, arrived, listener } = await setUp(t);
      const answer = client.ask(protocol, { path: "/api/v1/pods", as: admin });
      const response = await arrived;
      const stopped = listener.stop(AbortSignal.timeout(SOON_MS));
      response.end("done");
      assert.equal((await answer).text, "done");
      await stopped;
    });

    test(`cuts a request off when it has to hurry (${protocol})`, async (t) => {
      const { client, arrived, listener } = await setUp(t);
      const answer = assert.rejects(client.ask(protocol, { path: "/api/v1/pods", as: admin }));
      await arrived;
      const hurry = new AbortController();
      const stopped = listener.stop(hurry.signal);
      hurry.abort();
      await stopped;
      await answer;
    });
  }

  test("ends watches at once, as if they had come to their end", async (t) => {
    const { client, arrived, listener } = await setUp(t);
    const stream = client.http2(t, admin).request({ ":path": "/api/v1/pods?watch=true" });
    const response = await arrived;
    response.writeHead(200);
    response.write("event");
    await once(stream, "response");
    const text = textOf(stream);
    await once(stream, "data");
    await listener.stop(AbortSignal.timeout(SOON_MS));
    assert.equal(await text, "event");
  });

  test("closes idle connections and takes no new ones", async (t) => {
    const { client, listener } = await setUp(t);
    const [session, socket] = [client.http2(t, admin), await client.tls(t, admin)];
    await once(session, "remoteSettings");
    socket.write("GET /ping HTTP/1.1\r\nHost: a\r\n\r\n");
    await once(socket, "data");
    const closed = Promise.all([once(session, "close"), once(socket, "close")]);
    await listener.stop(AbortSignal.timeout(SOON_MS));
    await closed;
    await assert.rejects(client.ask("http/1.1", { path: "/ping" }), { code: "ECONNREFUSED" });
  });

  test("may be called twice, and before the start", async (t) => {
    const { listener } = await setUp(t);
    await Promise.all([listener.stop(AbortSignal.abort()), listener.stop(AbortSignal.abort())]);
    const never = await startListener(t, { pki, bindAddress: "192.0.2.1" }).catch(() => undefined);
    assert.equal(never, undefined);
    assert.ok(listener instanceof SupervisorListener);
  });
});
