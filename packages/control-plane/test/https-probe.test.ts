import assert from "node:assert/strict";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import type { RequestListener } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { describe, test, type TestContext } from "node:test";
import { TLSSocket } from "node:tls";
import { httpsProbe } from "../src/https-probe.ts";
import { testCertificate } from "./test-certificate.ts";

async function serve(t: TestContext, listener: RequestListener) {
  const pair = await testCertificate(t);
  const [cert, key] = await Promise.all([readFile(pair.cert), readFile(pair.key)]);
  const server = createServer({ cert, key, requestCert: true, rejectUnauthorized: false }, listener);
  server.listen(0, "127.0.0.1");
  t.after(() => server.close());
  await once(server, "listening");
  const { port } = server.address() as AddressInfo; // a TCP server's address is no string
  return { server, pair, options: { host: "127.0.0.1", port, path: "/readyz", caFile: pair.cert } };
}

describe("httpsProbe()", () => {
  test("resolves on 200 and shows the client certificate", async (t) => {
    let subject: unknown;
    const { options, pair } = await serve(t, ({ socket }, response) => {
      subject = socket instanceof TLSSocket ? socket.getPeerCertificate().subject.CN : undefined;
      response.end("ok");
    });
    await httpsProbe({ ...options, client: pair })(AbortSignal.timeout(5000));
    assert.equal(subject, "probe");
  });

  test("rejects with the checks that have failed", async (t) => {
    const body = "[+]ping ok\n[-]etcd failed: reason withheld\nreadyz check failed\n";
    const { options } = await serve(t, (_, response) => response.writeHead(500).end(body));
    const reason = "It answers 500 on /readyz: [-]etcd failed: reason withheld";
    await assert.rejects(httpsProbe(options)(AbortSignal.timeout(5000)), { message: reason });
  });

  test("rejects when nobody listens", async (t) => {
    const { options, server } = await serve(t, (_, response) => response.end());
    server.close();
    await once(server, "close");
    await assert.rejects(httpsProbe(options)(AbortSignal.timeout(5000)), { code: "ECONNREFUSED" });
  });

  test("rejects a certificate that is not for the host it asked", async (t) => {
    const { options } = await serve(t, (_, response) => response.end("ok"));
    const other = httpsProbe({ ...options, host: "localhost" });
    await assert.rejects(other(AbortSignal.timeout(5000)), { code: "ERR_TLS_CERT_ALTNAME_INVALID" });
  });

  test("rejects when it is told to stop while the program says nothing", async (t) => {
    const { options, server } = await serve(t, () => undefined);
    t.after(() => server.closeAllConnections());
    const stop = new AbortController();
    const pending = httpsProbe(options)(stop.signal);
    await once(server, "request");
    stop.abort();
    await assert.rejects(pending, { name: "AbortError" });
  });
});
