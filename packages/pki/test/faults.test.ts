import assert from "node:assert/strict";
import { chmod, copyFile, mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { ensureServerPki, PkiError, serverCredPaths, serverTlsPaths, type ServerTlsPaths } from "../src/index.ts";
import { makeServerPki } from "../src/make-server-pki.ts";
import { changed, fingerprint, folder, openssl, options, request, sharedServer, subjects } from "./support.ts";

const copy = sharedServer();

async function server(t: TestContext): Promise<{ readonly dir: string; readonly tls: ServerTlsPaths }> {
  const dir = await copy(t);
  return { dir, tls: serverTlsPaths(dir) };
}

describe("ensureServerPki() refuses", () => {
  const cases: readonly {
    readonly what: string;
    readonly code: string;
    readonly spoil: (tls: ServerTlsPaths) => Promise<unknown>;
  }[] = [
    {
      what: "a CA whose key is another's",
      code: "ERR_PKI_KEY_MISMATCH",
      spoil: (tls) => copyFile(tls.clientCa.key, tls.serverCa.key),
    },
    {
      what: "a leaf whose key is another's",
      code: "ERR_PKI_KEY_MISMATCH",
      spoil: (tls) => copyFile(tls.clientAdmin.key, tls.clientScheduler.key),
    },
    {
      what: "a CA without its key",
      code: "ERR_PKI_CA_KEY_MISSING",
      spoil: (tls) => rm(tls.serverCa.key),
    },
    {
      what: "a certificate file without a certificate",
      code: "ERR_PKI_CERTIFICATE_CORRUPT",
      spoil: (tls) => writeFile(tls.serverCa.cert, "nothing to see\n"),
    },
    {
      what: "an empty certificate file",
      code: "ERR_PKI_CERTIFICATE_CORRUPT",
      spoil: (tls) => writeFile(tls.servingApiServer.cert, ""),
    },
    {
      what: "a certificate that is cut short",
      code: "ERR_PKI_CERTIFICATE_CORRUPT",
      spoil: async (tls) => {
        const [, first = ""] = (await readFile(tls.clientCa.cert, "utf8")).split("\n");
        await writeFile(tls.clientCa.cert, `-----BEGIN CERTIFICATE-----\n${first}\n-----END CERTIFICATE-----\n`);
      },
    },
    {
      what: "a damaged key",
      code: "ERR_PKI_KEY_CORRUPT",
      spoil: async (tls) => {
        const text = await readFile(tls.etcdPeerCa.key, "utf8");
        await writeFile(tls.etcdPeerCa.key, text.replace(/\n[A-Za-z0-9+/]{20}/, "\nAAAAAAAAAAAAAAAAAAAA"));
      },
    },
    {
      what: "a service key that is no key",
      code: "ERR_PKI_KEY_CORRUPT",
      spoil: (tls) => writeFile(tls.serviceKey, "secret\n"),
    },
    {
      what: "a folder where a certificate belongs",
      code: "ERR_PKI_FILE_UNREADABLE",
      spoil: async (tls) => {
        await rm(tls.authProxy.cert);
        await mkdir(tls.authProxy.cert);
      },
    },
  ];
  for (const { what, code, spoil } of cases) {
    test(`${what}, with a way out`, async (t) => {
      const { dir, tls } = await server(t);
      await spoil(tls);
      await assert.rejects(makeServerPki(request(dir)), (error) => {
        assert.ok(error instanceof PkiError);
        assert.equal(error.code, code);
        assert.ok(error.message.includes(dir), error.message);
        assert.ok((error.hint ?? "").length > 20);
        return true;
      });
    });
  }

  test("a clock before the CA, before it writes anything", async (t) => {
    const { dir, tls } = await server(t);
    await rm(tls.etcdServerCa.cert);
    await rm(tls.etcdServerCa.key);
    const untouched = await fingerprint(dir);
    const now = new Date(Date.now() - 2 * 3_600_000);
    await assert.rejects(makeServerPki(request(dir, { now })), { code: "ERR_PKI_CLOCK_BEHIND" });
    assert.deepEqual(changed(untouched, await fingerprint(dir)), []);
  });

  test("a CA that has expired", async (t) => {
    const { dir } = await server(t);
    const now = new Date(Date.now() + 3651 * 86_400_000);
    await assert.rejects(makeServerPki(request(dir, { now })), { code: "ERR_PKI_CA_EXPIRED" });
  });

  test("with the same error when the work is done in the thread", async (t) => {
    const { dir, tls } = await server(t);
    await rm(tls.serverCa.key);
    await assert.rejects(ensureServerPki(options(dir)), (error) => {
      assert.ok(error instanceof PkiError);
      assert.equal(error.code, "ERR_PKI_CA_KEY_MISSING");
      assert.ok(error.message.includes(tls.serverCa.key));
      assert.match(error.hint ?? "", /Restore the key/);
      return true;
    });
  });
});

describe("ensureServerPki() after a start that was cut off", () => {
  test("uses a CA key that has no certificate yet", async (t) => {
    const { dir, tls } = await server(t);
    const key = await readFile(tls.serverCa.key, "utf8");
    await rm(tls.serverCa.cert);
    const made = await makeServerPki(request(dir));
    assert.equal(await readFile(tls.serverCa.key, "utf8"), key);
    assert.ok(made.some(({ path, reason }) => path === tls.servingApiServer.cert && reason === "authority-new"));
    await openssl("verify", "-CAfile", tls.serverCa.cert, tls.servingApiServer.cert);
  });

  test("writes a kubeconfig that is missing, and an empty IPsec key again", async (t) => {
    const { dir } = await server(t);
    const cred = serverCredPaths(dir);
    await rm(cred.adminKubeconfig);
    await writeFile(cred.ipsecPsk, "");
    await makeServerPki(request(dir));
    assert.match(await readFile(cred.adminKubeconfig, "utf8"), /client-admin\.crt/);
    assert.equal((await readFile(cred.ipsecPsk, "utf8")).length, 97);
  });

  test("takes read permission on a key away from others, and leaves its time alone", async (t) => {
    const { dir, tls } = await server(t);
    await chmod(tls.serverCa.key, 0o644);
    await chmod(tls.serviceKey, 0o640);
    const before = await stat(tls.serverCa.key, { bigint: true });
    await makeServerPki(request(dir));
    const after = await stat(tls.serverCa.key, { bigint: true });
    assert.equal(Number(after.mode & 0o777n), 0o600);
    assert.equal(after.mtimeNs, before.mtimeNs);
    assert.equal((await stat(tls.serviceKey)).mode & 0o777, 0o600);
  });
});

describe("ensureServerPki() with CAs of the operator", () => {
  test("makes the token CA of an old cluster its server CA, as the same file", async (t) => {
    const dir = join(await folder(t), "server");
    const tls = serverTlsPaths(dir);
    const old = await server(t);
    await mkdir(tls.dir, { recursive: true });
    await copyFile(old.tls.serverCa.cert, tls.tokenCa.cert);
    await copyFile(old.tls.serverCa.key, tls.tokenCa.key);
    await makeServerPki(request(dir));
    assert.equal((await stat(tls.serverCa.cert)).ino, (await stat(tls.tokenCa.cert)).ino);
    assert.equal((await stat(tls.serverCa.key)).ino, (await stat(tls.tokenCa.key)).ino);
    await openssl("verify", "-CAfile", tls.tokenCa.cert, tls.servingApiServer.cert);
  });

  for (const [what, newKey] of [
    ["EC P-384", ["ec", "-pkeyopt", "ec_paramgen_curve:P-384"]],
    ["RSA", ["rsa:2048"]],
    ["Ed25519", ["ed25519"]],
  ] as const) {
    test(`signs with the issuing CA of an ${what} chain and appends the whole chain`, async (t) => {
      const dir = join(await folder(t), "server");
      const tls = serverTlsPaths(dir);
      await mkdir(tls.dir, { recursive: true });
      const root = await makeChain(tls, newKey);
      const made = await makeServerPki(request(dir));
      assert.equal(made.length, 13);
      const chain = await subjects(tls.servingApiServer.cert);
      assert.deepEqual(chain, ["CN=kube-apiserver", "O=Acme, Inc., CN=issuing", "CN=root"]);
      await openssl(
        "verify",
        "-CAfile",
        root,
        "-untrusted",
        tls.servingApiServer.cert,
        "-purpose",
        "sslserver",
        tls.servingApiServer.cert,
      );
      assert.deepEqual(await subjects(tls.serverCaNoChain), ["O=Acme, Inc., CN=issuing"]);
      assert.deepEqual(await makeServerPki(request(dir)), [], "the second run has nothing to do");
    });
  }
});

/** A root and an issuing CA below it in place of the server CA, made by openssl. Returns the file of the root. */
async function makeChain(tls: ServerTlsPaths, newKey: readonly string[]): Promise<string> {
  const root = { cert: join(tls.dir, "root.crt"), key: join(tls.dir, "root.key") };
  const ca = ["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign"];
  const common = ["-nodes", "-days", "3000", "-newkey", ...newKey, ...ca];
  await openssl("req", "-x509", ...common, "-subj", "/CN=root", "-keyout", root.key, "-out", root.cert);
  const issuing = join(tls.dir, "issuing.crt");
  const signer = ["-CA", root.cert, "-CAkey", root.key];
  await openssl(
    "req",
    "-x509",
    ...common,
    ...signer,
    "-subj",
    "/O=Acme, Inc./CN=issuing",
    "-keyout",
    tls.serverCa.key,
    "-out",
    issuing,
  );
  await writeFile(tls.serverCa.cert, (await readFile(issuing, "utf8")) + (await readFile(root.cert, "utf8")));
  await chmod(tls.serverCa.key, 0o600);
  return root.cert;
}
