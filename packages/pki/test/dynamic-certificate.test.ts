import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { access, copyFile, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createSecureContext, createServer, connect, type TLSSocket } from "node:tls";
import { describe, test, type TestContext } from "node:test";
import {
  DynamicCertificate,
  serverTlsPaths,
  type DynamicCertificateOptions,
  type ServingSecret,
} from "../src/index.ts";
import { makeServerPki } from "../src/make-server-pki.ts";
import { fingerprint, openssl, recordingLogger, request, sharedServer, subjects } from "./support.ts";

const DAY_MS = 86_400_000;

const copy = sharedServer();

async function setUp(t: TestContext, changes: Partial<DynamicCertificateOptions> = {}) {
  const serverDir = await copy(t);
  const { log, lines } = recordingLogger();
  const options = { serverDir, configuredNames: ["localhost", "127.0.0.1", "::1"], log, ...changes };
  return { options, lines, tls: serverTlsPaths(serverDir) };
}

async function stored(path: string): Promise<ServingSecret> {
  return JSON.parse(await readFile(path, "utf8")) as ServingSecret;
}

describe("DynamicCertificate.open()", () => {
  test("makes a certificate that a TLS client accepts, and stores it as a Secret with mode 0600", async (t) => {
    const { options, tls } = await setUp(t);
    const dynamic = await DynamicCertificate.open(options);
    const { certPem, keyPem } = dynamic.current.get();

    const server = createServer({ cert: certPem, key: keyPem }, (socket) => socket.end("hello"));
    t.after(() => server.close());
    await once(server.listen(0, "127.0.0.1"), "listening");
    const address = server.address();
    assert.ok(typeof address === "object" && address !== null);
    const socket: TLSSocket = connect({
      port: address.port,
      host: "127.0.0.1",
      secureContext: createSecureContext({ ca: await readFile(tls.serverCa.cert) }),
    });
    t.after(() => socket.destroy());
    await once(socket, "secureConnect");
    assert.equal(socket.authorized, true);
    assert.equal(socket.getPeerCertificate().subject.CN, "k3s");
    assert.equal(socket.getPeerCertificate().subject.O, "k3s");

    const secret = await stored(tls.dynamicCert);
    assert.equal((await stat(tls.dynamicCert)).mode & 0o777, 0o600);
    assert.equal(secret.type, "kubernetes.io/tls");
    assert.deepEqual([secret.metadata.namespace, secret.metadata.name], ["kube-system", "k3s-serving"]);
    const { fingerprint: sha1 } = new X509Certificate(certPem);
    assert.deepEqual(secret.metadata.annotations, {
      "listener.cattle.io/cn-127.0.0.1": "127.0.0.1",
      "listener.cattle.io/cn-__1-f16284": "::1",
      "listener.cattle.io/cn-localhost": "localhost",
      "listener.cattle.io/fingerprint": `SHA1=${sha1.replaceAll(":", "")}`,
    });
    assert.deepEqual(secret, dynamic.toSecret());
    assert.match(keyPem, /^-----BEGIN EC PRIVATE KEY-----/);
  });

  test("appends the CA bundle, and openssl verifies the leaf for servers only", async (t) => {
    const { options, tls } = await setUp(t);
    const { certPem } = (await DynamicCertificate.open(options)).current.get();
    const file = join(options.serverDir, "chain.pem");
    await writeFile(file, certPem);
    assert.equal((await subjects(file)).length, 2);
    await openssl("verify", "-x509_strict", "-CAfile", tls.serverCa.cert, "-purpose", "sslserver", file);
    await assert.rejects(openssl("verify", "-CAfile", tls.serverCa.cert, "-purpose", "sslclient", file));
  });

  test("takes what is stored when nothing asks for another", async (t) => {
    const { options, tls } = await setUp(t);
    const first = await DynamicCertificate.open(options);
    const before = await fingerprint(tls.dir);
    const second = await DynamicCertificate.open(options);
    assert.deepEqual(second.current.get(), first.current.get());
    assert.deepEqual(await fingerprint(tls.dir), before);
  });

  const resigned: readonly {
    readonly when: string;
    readonly change: (
      options: DynamicCertificateOptions,
    ) => Promise<DynamicCertificateOptions> | DynamicCertificateOptions;
  }[] = [
    { when: "a configured name is missing", change: (options) => ({ ...options, configuredNames: ["*.example.org"] }) },
    {
      when: "its end is 120 days away",
      change: (options) => ({ ...options, now: () => new Date(Date.now() + 245 * DAY_MS) }),
    },
    {
      when: "the server CA was replaced",
      change: async (options) => {
        const { serverCa } = serverTlsPaths(options.serverDir);
        await rm(serverCa.cert);
        await rm(serverCa.key);
        await makeServerPki(request(options.serverDir));
        return options;
      },
    },
  ];
  for (const { when, change } of resigned) {
    test(`signs anew with the same key and all names when ${when}`, async (t) => {
      const { options, tls } = await setUp(t);
      const first = await DynamicCertificate.open(options);
      await first.offerNames(["seen.example.org"]);
      const old = first.current.get();
      const second = (await DynamicCertificate.open(await change(options))).current.get();
      assert.notEqual(second.certPem, old.certPem);
      assert.equal(second.keyPem, old.keyPem);
      assert.ok(old.names.every((name) => second.names.includes(name)));
      assert.ok(second.notAfter >= old.notAfter);
      const authority = new X509Certificate(await readFile(tls.serverCa.cert));
      assert.ok(new X509Certificate(second.certPem).verify(authority.publicKey));
    });
  }

  test("makes a new key when the trigger file is there, keeps the names, and removes the file", async (t) => {
    const { options, tls } = await setUp(t);
    const first = await DynamicCertificate.open(options);
    await first.offerNames(["seen"]);
    await writeFile(tls.dynamicCertRegenerate, "");
    const second = await DynamicCertificate.open(options);
    assert.notEqual(second.current.get().keyPem, first.current.get().keyPem);
    assert.deepEqual(second.current.get().names, first.current.get().names);
    await assert.rejects(access(tls.dynamicCertRegenerate), { code: "ENOENT" });
  });

  test("replaces a damaged file and says so", async (t) => {
    const { options, tls, lines } = await setUp(t);
    await writeFile(tls.dynamicCert, '{"data":{"tls.crt":"AAAA"}}');
    const dynamic = await DynamicCertificate.open(options);
    assert.deepEqual(await stored(tls.dynamicCert), dynamic.toSecret());
    assert.ok(lines.some((line) => line.includes("damaged")));
  });

  test("leaves out configured names that no certificate can hold", async (t) => {
    const { options, lines } = await setUp(t, { configuredNames: ["ok", "not ok", ""] });
    assert.deepEqual((await DynamicCertificate.open(options)).current.get().names, ["ok"]);
    assert.ok(lines.some((line) => line.includes("ERROR") && line.includes("not ok")));
  });

  test("refuses to work without the server CA", async (t) => {
    const { options, tls } = await setUp(t);
    await rm(tls.serverCa.cert);
    await assert.rejects(DynamicCertificate.open(options), { code: "ERR_PKI_FILE_UNREADABLE" });
  });
});

describe("DynamicCertificate.offerNames()", () => {
  test("adds names and addresses, with the same key, for this and later starts", async (t) => {
    const { options } = await setUp(t);
    const dynamic = await DynamicCertificate.open(options);
    const { keyPem } = dynamic.current.get();
    await dynamic.offerNames(["Server.Example.ORG", "::ffff:10.1.2.3", "fd00:0:0::7"]);
    const { certPem, keyPem: keptKey, names } = dynamic.current.get();
    assert.equal(keptKey, keyPem);
    assert.deepEqual(names, ["10.1.2.3", "127.0.0.1", "::1", "fd00::7", "localhost", "server.example.org"]);
    const leaf = new X509Certificate(certPem);
    assert.ok(leaf.checkHost("server.example.org") && leaf.checkIP("10.1.2.3") && leaf.checkIP("fd00::7"));
    assert.deepEqual((await DynamicCertificate.open(options)).current.get().names, names);
  });

  test("signs nothing for names that are covered, malformed, wildcards or not accepted", async (t) => {
    const { options } = await setUp(t, { configuredNames: ["localhost", "*.apps.example.org"] });
    const dynamic = await DynamicCertificate.open(options);
    const before = dynamic.current.get();
    dynamic.restrictNames((name) => name === "welcome");
    await dynamic.offerNames(["localhost", "a.apps.example.org", "a b", "-x", "", "*.evil", "stranger"]);
    assert.equal(dynamic.current.get(), before);
    await dynamic.offerNames(["a.b.apps.example.org", "welcome"]);
    assert.deepEqual(dynamic.current.get().names, ["*.apps.example.org", "localhost", "welcome"]);
    dynamic.restrictNames(undefined);
    await dynamic.offerNames(["stranger"]);
    assert.ok(dynamic.current.get().names.includes("stranger"));
  });

  test("signs once for names that come together, and tells who waits for the certificate", async (t) => {
    const { options, lines } = await setUp(t);
    const dynamic = await DynamicCertificate.open(options);
    const grown = dynamic.current.until(({ names }) => names.includes("five"), AbortSignal.timeout(20_000));
    const offers = ["one", "two", "three", "four", "five"].map((name) => dynamic.offerNames([name]));
    await Promise.all([grown, ...offers]);
    assert.equal(lines.filter((line) => line.includes("signed")).length, 2, "at the start, and for all five");
  });

  test("stops adding names at a limit", async (t) => {
    const { options } = await setUp(t);
    const dynamic = await DynamicCertificate.open(options);
    await dynamic.offerNames(Array.from({ length: 300 }, (_, index) => `n${index}.example.org`));
    assert.equal(dynamic.current.get().names.length, 103);
  });

  test("fails when the CA is gone, and works again when it is back", async (t) => {
    const { options, tls } = await setUp(t);
    const dynamic = await DynamicCertificate.open(options);
    await copyFile(tls.serverCa.key, `${tls.serverCa.key}.aside`);
    await rm(tls.serverCa.key);
    await assert.rejects(dynamic.offerNames(["later"]), { code: "ERR_PKI_CA_KEY_MISSING" });
    await copyFile(`${tls.serverCa.key}.aside`, tls.serverCa.key);
    await dynamic.offerNames(["later"]);
    assert.ok(dynamic.current.get().names.includes("later"));
  });
});

describe("DynamicCertificate", () => {
  test("renewIfExpiring() renews inside the last 120 days only, with the key it has", async (t) => {
    let now = new Date();
    const { options } = await setUp(t, { now: () => now });
    const dynamic = await DynamicCertificate.open(options);
    const first = dynamic.current.get();
    assert.equal(await dynamic.renewIfExpiring(), false);
    now = new Date(now.getTime() + 246 * DAY_MS);
    assert.equal(await dynamic.renewIfExpiring(), true);
    const second = dynamic.current.get();
    assert.equal(second.keyPem, first.keyPem);
    assert.ok(second.notAfter.getTime() > first.notAfter.getTime() + 200 * DAY_MS);
  });

  test("keepRenewed() ends when it is told to", async (t) => {
    const { options } = await setUp(t);
    const dynamic = await DynamicCertificate.open(options);
    const controller = new AbortController();
    const ended = dynamic.keepRenewed(controller.signal);
    controller.abort();
    await ended;
  });

  test("merge() takes over the certificate of another server that has every name", async (t) => {
    const { options, tls } = await setUp(t);
    const ours = await DynamicCertificate.open(options);
    const theirs = await DynamicCertificate.open(options);
    await theirs.offerNames(["other"]);
    await ours.merge(theirs.toSecret());
    assert.deepEqual(ours.current.get(), theirs.current.get());
    assert.deepEqual(await stored(tls.dynamicCert), theirs.toSecret());
  });

  test("merge() signs for the names of both with our key when neither has all", async (t) => {
    const { options } = await setUp(t);
    const ours = await DynamicCertificate.open(options);
    const theirs = await DynamicCertificate.open(options);
    const { keyPem } = ours.current.get();
    await Promise.all([ours.offerNames(["a"]), theirs.offerNames(["b"])]);
    await ours.merge(theirs.toSecret());
    assert.deepEqual(ours.current.get().names, ["127.0.0.1", "::1", "a", "b", "localhost"]);
    assert.equal(ours.current.get().keyPem, keyPem);
  });

  test("merge() rejects a secret without a usable pair and keeps what it has", async (t) => {
    const { options } = await setUp(t);
    const dynamic = await DynamicCertificate.open(options);
    const before = dynamic.current.get();
    await assert.rejects(dynamic.merge({ data: {} }));
    assert.equal(dynamic.current.get(), before);
  });

  test("never changes a certificate the operator brought", async (t) => {
    const { options, tls } = await setUp(t);
    const other = await DynamicCertificate.open(options);
    const secret = other.toSecret();
    const annotations = { ...secret.metadata.annotations, "listener.cattle.io/static": "true" };
    await writeFile(tls.dynamicCert, JSON.stringify({ ...secret, metadata: { ...secret.metadata, annotations } }));
    const now = () => new Date(Date.now() + 300 * DAY_MS);
    const dynamic = await DynamicCertificate.open({ ...options, configuredNames: ["new"], now });
    const before = dynamic.current.get();
    assert.equal(before.isStatic, true);
    await dynamic.offerNames(["more"]);
    await dynamic.merge(other.toSecret());
    assert.equal(await dynamic.renewIfExpiring(), false);
    assert.equal(dynamic.current.get(), before);
    assert.equal(dynamic.toSecret().metadata.annotations["listener.cattle.io/static"], "true");
  });
});
