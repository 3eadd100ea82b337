import assert from "node:assert/strict";
import { readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { parse } from "yaml";
import { createCsr, ensureAgentPki, serverTlsPaths, signAgentCertificate, type AgentLeafName } from "../src/index.ts";
import { signAgentLeaf } from "../src/agent-leaves.ts";
import { makeAgentPki } from "../src/make-agent-pki.ts";
import { fingerprint, folder, openssl, sharedServer, subjects } from "./support.ts";

const NODE = { nodeName: "node1", nodeIps: ["10.0.0.5", "fd00::5"], apiServerUrl: "https://127.0.0.1:6444" };

const copy = sharedServer();

async function node(t: TestContext) {
  const serverDir = await copy(t);
  return { serverDir, tls: serverTlsPaths(serverDir), agentDir: join(serverDir, "..", "agent"), ...NODE };
}

describe("ensureAgentPki()", () => {
  test("makes the certificates of a node, all 0600, each fit for its purpose only", async (t) => {
    const { tls, ...options } = await node(t);
    const paths = await ensureAgentPki(options);
    const expected = [
      [paths.servingKubelet, tls.serverCa, "sslserver", "CN=node1"],
      [paths.clientKubelet, tls.clientCa, "sslclient", "O=system:nodes, CN=system:node:node1"],
      [paths.clientKubeProxy, tls.clientCa, "sslclient", "CN=system:kube-proxy"],
      [paths.clientK3sController, tls.clientCa, "sslclient", "CN=system:k3s-controller"],
    ] as const;
    for (const [{ cert }, ca, purpose, subject] of expected) {
      await openssl("verify", "-CAfile", ca.cert, "-purpose", purpose, cert);
      assert.equal((await subjects(cert))[0], subject);
      assert.equal((await subjects(cert)).length, 2);
    }
    const names = await openssl("x509", "-in", paths.servingKubelet.cert, "-noout", "-ext", "subjectAltName");
    assert.match(
      names,
      /DNS:node1, DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1, IP Address:10.0.0.5, IP Address:FD00:0:0:0:0:0:0:5\n/,
    );
    const files = await fingerprint(options.agentDir);
    assert.equal(files.size, 13);
    for (const name of files.keys()) assert.equal((await stat(join(options.agentDir, name))).mode & 0o777, 0o600, name);
    assert.equal(await readFile(paths.serverCa, "utf8"), await readFile(tls.serverCa.cert, "utf8"));
    assert.equal(await readFile(paths.clientCa, "utf8"), await readFile(tls.clientCa.cert, "utf8"));
  });

  test("writes kubeconfigs for kubelet, kube-proxy and the node's controller", async (t) => {
    const { tls: _tls, ...options } = await node(t);
    const paths = await ensureAgentPki(options);
    const files = [
      [paths.kubeletKubeconfig, paths.clientKubelet],
      [paths.kubeProxyKubeconfig, paths.clientKubeProxy],
      [paths.k3sControllerKubeconfig, paths.clientK3sController],
    ] as const;
    for (const [file, pair] of files) {
      const config = parse(await readFile(file, "utf8")) as { clusters: unknown; users: unknown };
      assert.deepEqual(config.users, [
        { name: "user", user: { "client-certificate": pair.cert, "client-key": pair.key } },
      ]);
      assert.deepEqual(config.clusters, [
        { name: "local", cluster: { server: NODE.apiServerUrl, "certificate-authority": paths.serverCa } },
      ]);
    }
  });

  test("keeps the keys and makes the certificates anew at the next start", async (t) => {
    const { tls: _tls, ...options } = await node(t);
    const request = { ...options, now: new Date(), leafLifetimeDays: 365 };
    await makeAgentPki(request);
    const first = await fingerprint(options.agentDir);
    await makeAgentPki(request);
    for (const [name, print] of await fingerprint(options.agentDir)) {
      const isNew = name.endsWith(".crt") && !name.endsWith("-ca.crt");
      assert.equal(print !== first.get(name), isNew, name);
    }
  });

  test("says which CA is missing", async (t) => {
    const { tls, ...options } = await node(t);
    await rm(tls.clientCa.cert);
    await assert.rejects(ensureAgentPki(options), { code: "ERR_PKI_FILE_UNREADABLE" });
  });
});

describe("signAgentCertificate()", () => {
  const signed = async (t: TestContext, csr: Uint8Array, name: AgentLeafName = "client-kubelet") => {
    const serverDir = await copy(t);
    const request = { serverDir, name, csr, nodeName: "n", nodeIps: [], now: new Date(), leafLifetimeDays: 365 };
    return signAgentLeaf(request);
  };

  test("signs the public key of a DER request that openssl made, whatever its subject", async (t) => {
    const dir = await folder(t);
    const [key, csr] = [join(dir, "key"), join(dir, "csr")];
    const serverDir = await copy(t);
    await openssl(
      "req",
      "-new",
      "-newkey",
      "rsa:2048",
      "-nodes",
      "-keyout",
      key,
      "-subj",
      "/CN=ignored",
      "-outform",
      "DER",
      "-out",
      csr,
    );
    const name = "client-kubelet";
    const pem = await signAgentCertificate({ serverDir, name, csr: await readFile(csr), nodeName: "n", nodeIps: [] });
    await writeFile(join(dir, "crt"), pem);
    assert.equal((await subjects(join(dir, "crt")))[0], "O=system:nodes, CN=system:node:n");
    assert.equal(
      await openssl("x509", "-in", join(dir, "crt"), "-noout", "-pubkey"),
      await openssl("rsa", "-in", key, "-pubout"),
    );
  });

  for (const [what, csr] of [
    ["PEM", Buffer.from("-----BEGIN CERTIFICATE REQUEST-----\n")],
    ["nothing", Buffer.alloc(0)],
    ["DER without a key", Buffer.from("3006300402010030", "hex")],
  ] as const) {
    test(`refuses ${what} in place of a DER request`, async (t) => {
      await assert.rejects(signed(t, csr), { code: "ERR_PKI_CSR_INVALID" });
    });
  }
});

describe("createCsr()", () => {
  test("makes the key once, and a request that openssl verifies", async (t) => {
    const dir = await folder(t);
    const [keyFile, csr] = [join(dir, "key"), join(dir, "csr")];
    await writeFile(csr, await createCsr(keyFile));
    const key = await readFile(keyFile, "utf8");
    assert.equal((await stat(keyFile)).mode & 0o777, 0o600);
    await openssl("req", "-in", csr, "-inform", "DER", "-verify", "-noout");
    await createCsr(keyFile);
    assert.equal(await readFile(keyFile, "utf8"), key);
    assert.equal(
      await openssl("req", "-in", csr, "-inform", "DER", "-noout", "-pubkey"),
      await openssl("ec", "-in", keyFile, "-pubout"),
    );
  });
});
