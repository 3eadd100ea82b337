import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { copyFile, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { networkInterfaces } from "node:os";
import { describe, test } from "node:test";
import { promisify } from "node:util";
import { SupervisorError } from "../src/index.ts";
import { Client } from "./support/client.ts";
import { FakeApiserver } from "./support/fake-apiserver.ts";
import { fileScope } from "./support/scope.ts";
import { filesOf, servedPair, startListener } from "./support/start-listener.ts";
import { TestPki } from "./support/test-pki.ts";

const run = promisify(execFile);

/** What `openssl s_client` prints of a handshake. */
async function handshake(port: number, ...args: readonly string[]): Promise<string> {
  const client = run("openssl", ["s_client", "-connect", `127.0.0.1:${port}`, ...args]);
  client.child.stdin?.end();
  const { stdout, stderr } = await client.catch((error: unknown) => error as { stdout: string; stderr: string });
  return stdout + stderr;
}

describe("serving certificate and address", async () => {
  const pki = await TestPki.create(fileScope());
  const renewed = { ca: "server-ca", subject: "/O=k3s/CN=renewed", usage: "serverAuth" } as const;
  await pki.leaf("renewed", { ...renewed, san: "IP:127.0.0.1,DNS:new.example.com" });

  test("a new certificate is used by the next connection, and the old one lives on", async (t) => {
    const { port, certificate } = await startListener(t, { pki });
    const client = new Client(pki, port);
    const before = await client.tls(t, pki.read("admin"));
    certificate.set(servedPair(pki, "renewed"));
    const after = await client.tls(t);
    assert.deepEqual(
      [before, after].map((socket) => socket.getPeerCertificate().subject.CN),
      ["k3s", "renewed"],
    );
    before.write("GET /ping HTTP/1.1\r\nHost: a\r\n\r\n");
    assert.match(String((await once(before, "data"))[0]), /pong/);
  });

  test("a name that is new gets its certificate in its first handshake", async (t) => {
    const { port, offered } = await startListener(t, {
      pki,
      onOffer: (name, certificate) => {
        if (name === "new.example.com") certificate.set(servedPair(pki, "renewed"));
        return Promise.resolve();
      },
    });
    const socket = await new Client(pki, port).tls(t, pki.read("admin"), "new.example.com");
    assert.equal(socket.getPeerCertificate().subject.CN, "renewed");
    assert.deepEqual(offered, ["127.0.0.1", "new.example.com"]);
    assert.equal(socket.authorized, true);
  });

  test("a client certificate counts in a handshake with a server name as well", async (t) => {
    const { port } = await startListener(t, { pki });
    const node = await pki.leaf("node", { ca: "client-ca", subject: "/O=system:nodes/CN=n" });
    const socket = await new Client(pki, port).tls(t, node, "localhost");
    socket.write("GET /v1-k3s/readyz HTTP/1.1\r\nHost: a\r\n\r\n");
    assert.match(String((await once(socket, "data"))[0]), /^HTTP\/1\.1 503 /); // strangers get 403
  });

  const hosts = [
    { name: "an IPv4 address", host: "192.0.2.1:6443", offered: ["192.0.2.1"] },
    { name: "an IPv6 address", host: "[2001:db8::1]:6443", offered: ["2001:db8::1"] },
    { name: "a name", host: "example.com:6443", offered: [] },
    { name: "an address in a browser", host: "192.0.2.1", agent: "Mozilla/5.0", offered: [] },
  ];
  for (const { name, host, agent, offered: expected } of hosts) {
    test(`Host with ${name} offers ${expected.join() || "nothing"}`, async (t) => {
      const { port, offered } = await startListener(t, { pki });
      await new Client(pki, port).ask("http/1.1", { path: "/ping", headers: { host, "user-agent": agent ?? "curl" } });
      assert.deepEqual(offered.slice(1), expected);
    });
  }

  test("a certificate that cannot be extended is served as it is", async (t) => {
    const onOffer = () => Promise.reject(new Error("disk full"));
    const { port } = await startListener(t, { pki, onOffer });
    assert.equal((await new Client(pki, port).ask("h2", { path: "/ping" })).text, "pong");
  });

  test("openssl is asked for a client certificate of the client CA, and refused TLS 1.1 and weak ciphers", async (t) => {
    const { port } = await startListener(t, { pki });
    const modern = await handshake(port, "-alpn", "h2", "-CAfile", pki.path("server-ca.crt"));
    assert.match(modern, /Verify return code: 0 \(ok\)/);
    assert.match(modern, /Acceptable client certificate CA names\s+CN ?= ?client-ca/);
    assert.match(modern, /ALPN protocol: h2/);
    assert.match(await handshake(port, "-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"), /Cipher is ECDHE-ECDSA/);
    for (const args of [["-tls1_1"], ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"]])
      assert.match(await handshake(port, ...args), /Cipher is \(NONE\)/);
  });

  test("sessions are not resumed: each connection proves its certificate itself", async (t) => {
    const { port } = await startListener(t, { pki });
    for (const version of ["-tls1_2", "-tls1_3"]) {
      const text = await handshake(
        port,
        version,
        "-reconnect",
        "-cert",
        pki.path("admin.crt"),
        "-key",
        pki.path("admin.key"),
      );
      assert.doesNotMatch(text, /^Reused/m);
    }
  });

  test("a replaced client CA counts for new connections", async (t) => {
    const files = filesOf(pki, "changing-ca");
    await copyFile(pki.path("other-ca.crt"), files.clientCa);
    const { port, listener } = await startListener(t, { pki, files });
    const client = new Client(pki, port);
    const asked = { path: "/v1-k3s/readyz", as: pki.read("admin") };
    assert.equal((await client.ask("h2", asked)).status, 401);
    await writeFile(files.clientCa, pki.caOf("client-ca"));
    await listener.refresh();
    assert.equal((await client.ask("h2", asked)).status, 403);
  });

  test("a certificate file that makes no sense changes nothing", async (t) => {
    const files = { ...filesOf(pki), proxyKey: pki.path("broken.key") };
    await copyFile(pki.path("proxy.key"), files.proxyKey);
    const fake = await FakeApiserver.start(t, pki);
    const { port, listener, log } = await startListener(t, { pki, files, apiserverPort: fake.port });
    await writeFile(files.proxyKey, "half a k");
    await listener.refresh();
    const answer = await new Client(pki, port).ask("h2", { path: "/echo", as: pki.read("admin") });
    assert.equal(answer.status, 200);
    assert.ok(log.some((line) => line.includes("certificates could not be read again")));
  });

  test("start() rejects with the port when it is taken", async (t) => {
    const other = createServer().listen(0, "127.0.0.1");
    t.after(() => other.close());
    await once(other, "listening");
    const { port } = other.address() as AddressInfo;
    await assert.rejects(startListener(t, { pki, port }), (error: unknown) => {
      assert.ok(error instanceof SupervisorError);
      assert.equal(error.code, "ERR_SUPERVISOR_PORT_TAKEN");
      assert.equal(error.message, `Cannot listen on port ${port}: it is in use`);
      return true;
    });
  });

  test("start() rejects with the address when this machine does not have it", async (t) => {
    await assert.rejects(startListener(t, { pki, bindAddress: "192.0.2.1" }), { code: "ERR_SUPERVISOR_ADDRESS" });
  });

  const own = Object.values(networkInterfaces())
    .flat()
    .find((address) => address?.internal === false && address.family === "IPv4")?.address;
  test("a specific address is served together with the loopbacks", { skip: own === undefined }, async (t) => {
    const { port } = await startListener(t, { pki, bindAddress: own ?? "" });
    for (const host of [own ?? "", "127.0.0.1"]) {
      const { stdout } = await run("curl", ["-sk", "--max-time", "5", `https://${host}:${port}/ping`]);
      assert.equal(stdout, "pong");
    }
  });
});
