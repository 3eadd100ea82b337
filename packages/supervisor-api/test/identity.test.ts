import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Client, protocols, type Ask } from "./support/client.ts";
import { FakeApiserver, type Seen } from "./support/fake-apiserver.ts";
import { fileScope } from "./support/scope.ts";
import { filesOf, startListener } from "./support/start-listener.ts";
import { TestPki } from "./support/test-pki.ts";

/** What kube-apiserver would take for the user, and whether it would believe it. */
function identityOf(text: string) {
  const { rawHeaders, isTrusted } = JSON.parse(text) as Seen;
  const identity: string[] = [];
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const value = Buffer.from(rawHeaders[index + 1] ?? "", "latin1").toString("utf8");
    if (/remote/i.test(rawHeaders[index] ?? "")) identity.push(`${rawHeaders[index] ?? ""}=${value}`);
  }
  return { identity, isTrusted };
}

describe("identity", async () => {
  const scope = fileScope();
  const pki = await TestPki.create(scope);
  const fake = await FakeApiserver.start(scope, pki);
  const { port } = await startListener(scope, { pki, apiserverPort: fake.port });
  const client = new Client(pki, port);
  const leaf = (name: string, subject: string, options = {}) =>
    pki.leaf(name, { ca: "client-ca", subject, ...options });

  const jane = await leaf("jane", "/O=dev/O=qa/CN=jane");
  const bearer = { authorization: "Bearer abc" };
  const forged = {
    "x-remote-user": "system:admin",
    "X-Remote-Group": "system:masters",
    x_remote_user: "system:admin",
    "x-remote-extra-scopes": "all",
  };
  const anonymous = { identity: [], isTrusted: false };
  const asJane = {
    identity: ["X-Remote-User=jane", "X-Remote-Group=dev", "X-Remote-Group=qa"],
    isTrusted: true,
  };
  const plain = (name: string) => ({ identity: [`X-Remote-User=${name}`], isTrusted: true });

  const cases: readonly (Ask & { readonly name: string; readonly expected: object })[] = [
    { name: "a certificate names user and groups", path: "/echo", as: jane, expected: asJane },
    { name: "forged headers add nothing to a certificate", path: "/echo", as: jane, headers: forged, expected: asJane },
    { name: "nobody has no identity and no trusted connection", path: "/echo", expected: anonymous },
    { name: "forged headers of nobody are useless", path: "/echo", headers: forged, expected: anonymous },
    {
      name: "forged headers beside a token are useless",
      path: "/echo",
      headers: { ...forged, ...bearer },
      expected: anonymous,
    },
    {
      name: "a token stands for itself, also beside a certificate",
      path: "/echo",
      as: jane,
      headers: bearer,
      expected: anonymous,
    },
    {
      name: "a password is not carried to kube-apiserver",
      path: "/echo",
      headers: { authorization: "Basic bm9kZTpzZTpjcmV0" },
      expected: anonymous,
    },
    {
      name: "names may hold any letter",
      path: "/echo",
      as: await leaf("utf8", "/CN=jürgen ☃"),
      expected: plain("jürgen ☃"),
    },
    {
      name: "the last common name counts, as in Go",
      path: "/echo",
      as: await leaf("two", "/CN=first/CN=second"),
      expected: plain("second"),
    },
    {
      name: "a slash in an organization makes no second one",
      path: "/echo",
      as: await leaf("slash", "/O=dev\\/O=system:masters/CN=eve"),
      expected: { identity: ["X-Remote-User=eve", "X-Remote-Group=dev/O=system:masters"], isTrusted: true },
    },
    {
      name: "a certificate without a common name is nobody",
      path: "/echo",
      as: await leaf("noname", "/O=system:masters"),
      expected: anonymous,
    },
  ];
  for (const protocol of protocols) {
    for (const { name, expected, ...ask } of cases) {
      test(`${name} (${protocol})`, async () => {
        const answer = await client.ask(protocol, ask);
        assert.equal(answer.status, 200, answer.text);
        assert.deepEqual(identityOf(answer.text), expected);
      });
    }
  }

  const refused = [
    { name: "of another CA", as: await leaf("stranger", "/O=system:masters/CN=system:admin", { ca: "other-ca" }) },
    { name: "for servers", as: await leaf("server", "/O=system:masters/CN=system:admin", { usage: "serverAuth" }) },
    { name: "that is over", as: await leaf("over", "/O=system:masters/CN=system:admin", { days: -1 }) },
    { name: "of the server CA", as: await leaf("servers", "/O=system:masters/CN=system:admin", { ca: "server-ca" }) },
    { name: "of the front proxy", as: pki.read("proxy") },
    { name: "whose name a header would change", as: await leaf("space", "/CN=system:admin ") },
    { name: "with a line feed in its organization", as: await leaf("feed", "/O=dev\nX-Remote-Group: a/CN=eve") },
  ];
  for (const protocol of protocols) {
    for (const { name, as } of refused) {
      test(`refuses a certificate ${name} (${protocol})`, async () => {
        const answer = await client.ask(protocol, { path: "/echo", as });
        assert.equal(answer.status, 401, answer.text);
      });
    }
  }

  test("the client CA may be an intermediate one", async (t) => {
    await pki.intermediate("below", "other-ca");
    const as = await pki.leaf("anchored", { ca: "below", subject: "/O=dev/O=qa/CN=jane" });
    const anchored = await startListener(t, { pki, apiserverPort: fake.port, files: filesOf(pki, "below") });
    const answer = await new Client(pki, anchored.port).ask("h2", { path: "/echo", as });
    assert.deepEqual(identityOf(answer.text), asJane);
  });

  test("a token beside a refused certificate is still passed on", async () => {
    const answer = await client.ask("h2", { path: "/echo", as: pki.read("stranger"), headers: bearer });
    assert.deepEqual(identityOf(answer.text), anonymous);
  });

  test("one connection carries its identity with each request, and a token for that request alone", async (t) => {
    const session = client.http2(t, jane);
    const ask = async (headers: object) => {
      let text = "";
      const stream = session.request({ ":path": "/echo", ...headers });
      for await (const chunk of stream) text += String(chunk);
      return identityOf(text);
    };
    assert.deepEqual(await ask({}), asJane);
    assert.deepEqual(await ask(bearer), anonymous);
    assert.deepEqual(await ask({}), asJane);
  });

  test("trailers of a request cannot bring an identity", async (t) => {
    const socket = await client.tls(t);
    const head = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Remote-User\r\n";
    socket.write(`${head}Connection: close\r\n\r\n2\r\nhi\r\n0\r\nX-Remote-User: system:admin\r\n\r\n`);
    let text = "";
    for await (const chunk of socket) text += String(chunk);
    const body = /\{.*\}/s.exec(text)?.[0] ?? "{}";
    assert.deepEqual(identityOf(body), anonymous);
    assert.equal((JSON.parse(body) as Seen).bodyBytes, 2);
  });

  const smuggled = [
    { name: "length and chunks", head: "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n" },
    { name: "two lengths", head: "Content-Length: 4\r\nContent-Length: 5\r\n" },
    { name: "a space before the colon", head: "X-Remote-User : system:admin\r\n" },
    { name: "a folded line", head: "A: b\r\n X-Remote-User: system:admin\r\n" },
  ];
  for (const { name, head } of smuggled) {
    test(`refuses a head with ${name}`, async (t) => {
      const socket = await client.tls(t, jane);
      socket.write(`POST /echo HTTP/1.1\r\nHost: a\r\n${head}\r\n`);
      let text = "";
      for await (const chunk of socket) text += String(chunk);
      assert.match(text, /^HTTP\/1\.1 400 /);
    });
  }
});
