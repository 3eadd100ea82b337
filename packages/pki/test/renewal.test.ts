import assert from "node:assert/strict";
import { readFile, rm } from "node:fs/promises";
import { describe, test } from "node:test";
import { join } from "node:path";
import { serverTlsPaths } from "../src/index.ts";
import { makeServerPki, type ServerPkiRequest } from "../src/make-server-pki.ts";
import { changed, fingerprint, openssl, request, sharedServer } from "./support.ts";

const DAY_MS = 86_400_000;
const START = new Date(Math.floor(Date.now() / 1000) * 1000);

const copy = sharedServer(START);

describe("ensureServerPki() renews a leaf", () => {
  const later = (days: number): Partial<ServerPkiRequest> => ({ now: new Date(START.getTime() + days * DAY_MS) });

  test("not while its end is more than 120 days away", async (t) => {
    const serverDir = await copy(t);
    const now = new Date(START.getTime() + 245 * DAY_MS - 1000);
    assert.deepEqual(await makeServerPki(request(serverDir, { now })), []);
  });

  test("with a new key when its end is 120 days away, all leaves and no CA", async (t) => {
    const serverDir = await copy(t);
    const previous = await fingerprint(serverDir);
    const made = await makeServerPki(request(serverDir, later(245)));
    assert.deepEqual([...new Set(made.map(({ reason }) => reason))], ["expiring"]);
    const paths = changed(previous, await fingerprint(serverDir)).filter((path) => !path.endsWith(".kubeconfig"));
    assert.equal(paths.length, 26, "13 certificates and 13 keys");
    assert.deepEqual(
      paths.filter((path) => path.includes("-ca.")),
      [],
    );
    assert.equal(await endOf(join(serverDir, "tls/client-admin.crt")), START.getTime() + (245 + 365) * DAY_MS);
  });

  test("when the clock was set back to before its beginning", async (t) => {
    const serverDir = await copy(t);
    await makeServerPki(request(serverDir, later(300)));
    const made = await makeServerPki(request(serverDir, later(200)));
    assert.deepEqual([...new Set(made.map(({ reason }) => reason))], ["not-yet-valid"]);
  });

  test("with a new key when a wanted name is missing, and only the leaves that want it", async (t) => {
    const serverDir = await copy(t);
    const tls = serverTlsPaths(serverDir);
    const keyBefore = await readFile(tls.servingApiServer.key, "utf8");
    const changes = { now: START, sans: ["node1", "10.0.0.9", "fd00::9"] };
    const made = await makeServerPki(request(serverDir, changes));
    const expected = [tls.servingApiServer, tls.etcdServer, tls.etcdPeer].map(({ cert }) => ({
      path: cert,
      reason: "names",
    }));
    assert.deepEqual(made, expected);
    assert.notEqual(await readFile(tls.servingApiServer.key, "utf8"), keyBefore);
    assert.match(
      await openssl("x509", "-in", tls.servingApiServer.cert, "-noout", "-text"),
      /IP Address:FD00:0:0:0:0:0:0:9/,
    );
  });

  test("not when it has more names than wanted", async (t) => {
    const serverDir = await copy(t);
    const made = await makeServerPki(request(serverDir, { now: START, sans: ["node1"] }));
    assert.deepEqual(made, []);
  });

  test("when the cluster domain changed", async (t) => {
    const serverDir = await copy(t);
    const made = await makeServerPki(request(serverDir, { now: START, clusterDomain: "example.org" }));
    assert.deepEqual(
      made.map(({ reason }) => reason),
      ["names"],
    );
  });

  for (const [what, subject, reason] of [
    ["common name", "/O=system:masters/CN=somebody", "common-name"],
    ["organization", "/O=other/CN=system:admin", "organizations"],
  ] as const) {
    test(`when its ${what} differs`, async (t) => {
      const serverDir = await copy(t);
      const { clientAdmin, clientCa } = serverTlsPaths(serverDir);
      await opensslLeaf({ pair: clientAdmin, ca: clientCa, subject });
      const made = await makeServerPki(request(serverDir, later(1)));
      assert.deepEqual(made.find(({ path }) => path === clientAdmin.cert)?.reason, reason);
      const text = await openssl("x509", "-in", clientAdmin.cert, "-noout", "-subject");
      assert.match(text, /O = system:masters, CN = system:admin\n/);
    });
  }

  test("when a certificate is missing, with the key it had", async (t) => {
    const serverDir = await copy(t);
    const { clientScheduler } = serverTlsPaths(serverDir);
    const key = await readFile(clientScheduler.key, "utf8");
    await rm(clientScheduler.cert);
    const made = await makeServerPki(request(serverDir, { now: START }));
    assert.deepEqual(made, [{ path: clientScheduler.cert, reason: "missing" }]);
    assert.equal(await readFile(clientScheduler.key, "utf8"), key);
  });

  test("when its key is missing", async (t) => {
    const serverDir = await copy(t);
    const { clientScheduler } = serverTlsPaths(serverDir);
    await rm(clientScheduler.key);
    const made = await makeServerPki(request(serverDir, { now: START }));
    assert.deepEqual(made, [{ path: clientScheduler.cert, reason: "missing" }]);
  });

  test("when its CA was made anew, and the derived files follow", async (t) => {
    const serverDir = await copy(t);
    const tls = serverTlsPaths(serverDir);
    await rm(tls.clientCa.cert);
    await rm(tls.clientCa.key);
    const made = await makeServerPki(request(serverDir, { now: START }));
    assert.equal(made.length, 6);
    for (const { path, reason } of made) {
      assert.equal(reason, "authority-new");
      await openssl("verify", "-no_check_time", "-CAfile", tls.clientCa.cert, path);
    }
    assert.equal(await readFile(tls.clientCaNoChain, "utf8"), await readFile(tls.clientCa.cert, "utf8"));
  });

  test("when its CA was replaced on disk by another", async (t) => {
    const serverDir = await copy(t);
    const tls = serverTlsPaths(serverDir);
    const subject = [
      "-subj",
      "/CN=other-ca",
      "-days",
      "3000",
      "-nodes",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:P-256",
    ];
    await openssl("req", "-x509", ...subject, "-keyout", tls.requestHeaderCa.key, "-out", tls.requestHeaderCa.cert);
    const made = await makeServerPki(request(serverDir, { now: new Date(START.getTime() + 600_000) }));
    assert.deepEqual(
      made.filter(({ reason }) => reason === "authority-key"),
      [{ path: tls.authProxy.cert, reason: "authority-key" }],
    );
    await openssl("verify", "-CAfile", tls.requestHeaderCa.cert, "-purpose", "sslclient", tls.authProxy.cert);
  });

  test("for as long as the operator says", async (t) => {
    const serverDir = await copy(t);
    const { clientAdmin } = serverTlsPaths(serverDir);
    await rm(clientAdmin.cert);
    await makeServerPki(request(serverDir, { now: START, leafLifetimeDays: 400 }));
    assert.equal(await endOf(clientAdmin.cert), START.getTime() + 400 * DAY_MS);
  });
});

/** The end of a certificate in milliseconds since 1970, read by openssl. */
async function endOf(cert: string): Promise<number> {
  const text = await openssl("x509", "-in", cert, "-noout", "-enddate", "-dateopt", "iso_8601");
  return Date.parse(text.replace("notAfter=", ""));
}

interface OpensslLeaf {
  readonly pair: { readonly cert: string; readonly key: string };
  readonly ca: { readonly cert: string; readonly key: string };
  readonly subject: string;
}

async function opensslLeaf({ pair, ca, subject }: OpensslLeaf): Promise<void> {
  const request = `${pair.cert}.csr`;
  await openssl("req", "-new", "-key", pair.key, "-subj", subject, "-out", request);
  const authority = ["-CA", ca.cert, "-CAkey", ca.key, "-set_serial", "7", "-days", "3650"];
  await openssl("x509", "-req", "-in", request, ...authority, "-out", pair.cert);
}
