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
    test(`gives the library's words back where the certificate of an ${scheme} address cannot be read`, async (t) => {
      const target = await rudeServer(t);
      assert.equal(await explainRefusal({ details: "Connection dropped", scheme, target, tls }), "Connection dropped");
    });

  test("gives the library's words back where the address has no usable port", async () => {
    const refusal = {
      details: "ECONNRESET",
      scheme: "http",
      target: "h:70000",
      tls: { ...tls, cert: null, key: null },
    };
    assert.equal(await explainRefusal(refusal), "ECONNRESET");
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
