import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Client, protocols, type Ask } from "./support/client.ts";
import { FakeApiserver } from "./support/fake-apiserver.ts";
import { fileScope } from "./support/scope.ts";
import { startListener } from "./support/start-listener.ts";
import { TestPki } from "./support/test-pki.ts";

const basic = (credentials: string) => ({ authorization: `Basic ${Buffer.from(credentials).toString("base64")}` });

function status(code: number, reason: string, message: string): string {
  return `${JSON.stringify({ kind: "Status", apiVersion: "v1", metadata: {}, status: "Failure", message, reason, code })}\n`;
}

describe("routes", async () => {
  const pki = await TestPki.create(fileScope());
  const [node, other, stranger] = await Promise.all([
    pki.leaf("node", { ca: "client-ca", subject: "/O=system:nodes/CN=system:node:n1" }),
    pki.leaf("other", { ca: "client-ca", subject: "/O=dev/CN=jane" }),
    pki.leaf("stranger", { ca: "other-ca", subject: "/O=system:nodes/CN=system:node:n1" }),
  ]);
  const forbidden = status(403, "Forbidden", "forbidden");
  const notAuthorized = status(401, "Unauthorized", "not authorized");
  const notReady = status(503, "ServiceUnavailable", "runtime core not ready");
  const etcdDisabled = status(400, "BadRequest", "etcd datastore disabled");

  const cases: readonly (Ask & { readonly name: string; readonly code: number; readonly text: string })[] = [
    { name: "/ping to anybody", path: "/ping", code: 200, text: "pong" },
    { name: "/ping with a query", path: "/ping?x=1", code: 200, text: "pong" },
    { name: "/cacerts to anybody", path: "/cacerts", code: 200, text: pki.caOf("server-ca") },
    { name: "/db/info", path: "/db/info", code: 400, text: etcdDisabled },
    { name: "readyz without credentials", path: "/v1-k3s/readyz", code: 403, text: forbidden },
    {
      name: "readyz with a wrong password",
      path: "/v1-k3s/readyz",
      headers: basic("node:no"),
      code: 401,
      text: notAuthorized,
    },
    {
      name: "readyz of an unknown user",
      path: "/v1-k3s/readyz",
      headers: basic("x:no"),
      code: 401,
      text: notAuthorized,
    },
    { name: "readyz with a foreign certificate", path: "/v1-k3s/readyz", as: stranger, code: 401, text: notAuthorized },
    { name: "readyz of a user of other groups", path: "/v1-k3s/readyz", as: other, code: 403, text: forbidden },
    { name: "readyz of an agent", path: "/v1-k3s/readyz", headers: basic("node:se:cret"), code: 503, text: notReady },
    { name: "readyz of a node", path: "/v1-k3s/readyz", as: node, code: 503, text: notReady },
    {
      name: "readyz of a node in spite of a wrong password",
      path: "/v1-k3s/readyz",
      as: node,
      headers: basic("node:no"),
      code: 503,
      text: notReady,
    },
  ];
  for (const protocol of protocols) {
    for (const { name, code, text, ...ask } of cases) {
      test(`answers ${name} over ${protocol}`, async (t) => {
        const { port } = await startListener(t, { pki });
        const answer = await new Client(pki, port).ask(protocol, ask);
        assert.deepEqual({ code: answer.status, text: answer.text }, { code, text });
        if (code >= 400) assert.equal(answer.headers["content-type"], "application/json");
        if (code >= 400 && protocol === "http/1.1") assert.equal(answer.headers["connection"], "close");
      });
    }
  }

  for (const path of ["//ping", "/ping/", "/./ping", "/v1-k3s/../ping", "/PING", "/%70ing"]) {
    test(`leaves ${path} to kube-apiserver as it is`, async (t) => {
      const fake = await FakeApiserver.start(t, pki);
      fake.onRequest = (request, response) => response.writeHead(200).end(request.url);
      const { port } = await startListener(t, { pki, apiserverPort: fake.port });
      const answer = await new Client(pki, port).ask("h2", { path });
      assert.deepEqual([answer.status, answer.text], [200, path]);
    });
  }

  test("answers 503 for kube-apiserver until it is ready, and again when it is not", async (t) => {
    const fake = await FakeApiserver.start(t, pki);
    const { listener, port } = await startListener(t, { pki, apiserverPort: fake.port });
    const client = new Client(pki, port);
    for (const isReady of [false, true, false]) {
      listener.setApiserverReady(isReady);
      const answer = await client.ask("http/1.1", { path: "/echo", as: node });
      assert.equal(answer.status, isReady ? 200 : 503);
      if (!isReady) assert.equal(answer.text, status(503, "ServiceUnavailable", "apiserver not ready"));
    }
  });

  test("takes a request that names the whole URL for its path", async (t) => {
    const { port } = await startListener(t, { pki });
    const answer = await new Client(pki, port).ask("http/1.1", { path: "https://example.com/ping" });
    assert.equal(answer.text, "pong");
  });

  test("refuses CONNECT", async (t) => {
    const { port } = await startListener(t, { pki });
    const socket = await new Client(pki, port).tls(t, pki.read("admin"));
    socket.write("CONNECT 10.0.0.1:10250 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    let text = "";
    for await (const chunk of socket) text += String(chunk);
    assert.match(text, /^HTTP\/1\.1 405 .*"message":"method not allowed"/s);
  });
});
