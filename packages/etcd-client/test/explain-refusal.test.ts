import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { explainRefusal } from "../src/explain-refusal.ts";
import { EtcdCallError, EtcdClient } from "../src/index.ts";

/** Address of somebody who ends each connection. */
async function rudeServer(t: TestContext): Promise<string> {
  const server = createServer((socket) => socket.on("error", () => undefined).destroy());
  server.listen(0, "127.0.0.1");
  t.after(() => server.close());
  await once(server, "listening");
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe("explainRefusal()", () => {
  const junk = Buffer.from("-----BEGIN CERTIFICATE-----\njunk\n-----END CERTIFICATE-----\n");
  const tls = { ca: null, cert: junk, key: junk, skipVerify: false };
  for (const scheme of ["http", "https"])
    test(`is not certain of a connection that ended where the certificate of an ${scheme} address cannot be read`, async (t) => {
      const target = await rudeServer(t);
      assert.deepEqual(await explainRefusal({ details: "Connection dropped", scheme, target, tls }), {
        details: "no etcd seems to be there: connections are ended unanswered (Connection dropped)",
        isCertain: false,
      });
    });

  test("is not certain of a connection that ended where the address has no usable port", async () => {
    const refusal = {
      details: "ECONNRESET",
      scheme: "http",
      target: "h:70000",
      tls: { ...tls, cert: null, key: null },
    };
    assert.deepEqual(await explainRefusal(refusal), {
      details: "no etcd seems to be there: connections are ended unanswered (ECONNRESET)",
      isCertain: false,
    });
  });

  for (const [details, scheme, told] of [
    [
      "self-signed certificate in certificate chain",
      "https",
      /^no CA that is trusted here signed .*\(self-signed cert/,
    ],
    ["unable to verify the first certificate", "unixs", /^no CA that is trusted here signed its certificate \(unable/],
    ["certificate has expired", "https", /^certificate has expired$/],
    ["Hostname/IP does not match certificate's altnames: x", "https", /^Hostname/],
    ["error:0A00010B:SSL routines::wrong version number", "https", /^the port does not speak TLS: use http:\/\/$/],
    ["tlsv13 alert certificate required", "https", /^the server does not trust the client certificate/],
  ] as const)
    test(`is certain of "${details}"`, async () => {
      const explained = await explainRefusal({ details, scheme, target: "127.0.0.1:1", tls });
      assert.equal(explained.isCertain, true);
      assert.match(explained.details, told);
    });

  test("is not certain of a server that is away", async () => {
    const details = "connect ECONNREFUSED 127.0.0.1:1";
    assert.deepEqual(await explainRefusal({ details, scheme: "https", target: "127.0.0.1:1", tls }), {
      details,
      isCertain: false,
    });
  });

  test("rejects a call, and nothing else, where a client has such files and the server ends connections", async (t) => {
    const folder = await mkdtemp(join(tmpdir(), "k3s-etcd-client-"));
    t.after(() => rm(folder, { recursive: true, force: true }));
    const file = join(folder, "junk.pem");
    await writeFile(file, junk);
    const options = { tls: { certFile: file, keyFile: file }, timeoutMs: 1000 };
    const client = await EtcdClient.create({ servers: [`http://${await rudeServer(t)}`], ...options });
    t.after(() => client.close());
    await assert.rejects(client.status(), (error) => error instanceof EtcdCallError && error.isAway);
  });
});
