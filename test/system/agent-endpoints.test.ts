import assert from "node:assert/strict";
import { createHash, X509Certificate } from "node:crypto";
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { ClusterClient, ClusterError, trustCluster } from "@k3s/cluster-client";
import { ApiError, isConflict, type KubeObject } from "@k3s/kube-client";
import { createLogger } from "@k3s/log";
import { until } from "@k3s/testkit";
import { matchesHash, TokenError } from "@k3s/token";
import { startOnePort, type OnePort } from "./port-6443.ts";

const SECRETS = "/api/v1/namespaces/kube-system/secrets";
const log = createLogger({ level: "error", format: "text", write: () => undefined });
const limit = () => AbortSignal.timeout(60_000);

type Secret = KubeObject & {
  readonly type: string;
  readonly immutable: boolean;
  readonly data: { readonly hash: string };
};

describe("what a server answers agents, on a real kube-apiserver", { timeout: 300_000 }, () => {
  let one: OnePort;
  before(async () => {
    one = await startOnePort();
    await one.apiserver.request("POST", "/api/v1/namespaces", { metadata: { name: "kube-system" } });
  });
  beforeEach(() => {
    one.core.isReady = true;
  });
  after(() => one[Symbol.asyncDispose]());

  const trust = (token = "secret") => trustCluster({ server: one.url, token, user: "node", log, signal: limit() });
  const clientOf = async (token?: string) => new ClusterClient({ trust: await trust(token), log });
  const proofOf = (name: string, password = "pw") => {
    return { name, password, passwordFile: "/etc/rancher/node/password", ips: ["10.0.0.7", "fd00::7"] };
  };
  const keyFile = (name: string) => join(one.folder, `${name}.key`);
  const ask = async (name: string, proof = proofOf(name)) =>
    (await clientOf()).certificate("/v1-k3s/serving-kubelet.crt", { keyFile: keyFile(name), proof }, limit());

  test("trust comes from the token's hash, which is added to a token without one", async () => {
    const hash = createHash("sha256")
      .update(await readFile(one.tls.serverCa.cert))
      .digest("hex");
    assert.equal((await trust()).token, `K10${hash}::node:secret`);
    assert.equal((await trust(`K10${hash}::server:secret`)).token, `K10${hash}::node:secret`);
    const foreign = `K10${"0".repeat(64)}::node:secret`;
    await assert.rejects(
      trust(foreign),
      (error) => error instanceof TokenError && error.code === "ERR_TOKEN_CA_MISMATCH",
    );
  });

  test("a wrong password is final, and named", async () => {
    const client = await clientOf("wrong");
    await assert.rejects(
      client.get("/v1-k3s/config", limit()),
      (error) => error instanceof ClusterError && error.isFinal && error.code === "ERR_TOKEN_REFUSED",
    );
  });

  test("the settings, the CAs and the servers are what they are on the server", async () => {
    const client = await clientOf();
    const text = async (path: string) => (await client.get(path, limit())).toString("utf8");
    assert.equal(await text("/v1-k3s/config"), '{"ClusterDomain":"cluster.local"}\n');
    assert.equal(await text("/v1-k3s/client-ca.crt"), await readFile(one.tls.clientCa.cert, "utf8"));
    assert.equal(await text("/v1-k3s/server-ca.crt"), await readFile(one.tls.serverCa.cert, "utf8"));
    assert.deepEqual(JSON.parse(await text("/v1-k3s/apiservers")), ["10.0.0.1:6443"]);
  });

  test("a node's first certificate stores the hash of its password as k3s does", async () => {
    const pem = await ask("n1");
    const leaf = new X509Certificate(pem);
    assert.equal(leaf.subject, "CN=n1");
    const names =
      "DNS:n1, DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1, IP Address:10.0.0.7, IP Address:FD00:0:0:0:0:0:0:7";
    assert.equal(leaf.subjectAltName, names);
    assert.ok(leaf.verify(new X509Certificate(await readFile(one.tls.serverCa.cert)).publicKey));
    assert.ok(pem.endsWith(await readFile(one.tls.serverCa.cert, "utf8")), "the bundle follows the leaf");
    const secret = await one.client.get<Secret>(`${SECRETS}/n1.node-password.k3s`, limit());
    assert.deepEqual([secret.type, secret.immutable], ["k3s.cattle.io/node-password", true]);
    assert.ok(await matchesHash("pw", Buffer.from(secret.data.hash, "base64").toString()));
  });

  test("the certificate is for the key that stays with the node, as openssl sees it", async () => {
    const pem = await ask("n1");
    await writeFile(join(one.folder, "leaf.crt"), pem);
    const of = (...args: string[]) => one.run("openssl", ...args);
    const own = await of("pkey", "-in", keyFile("n1"), "-pubout");
    assert.equal(await of("x509", "-in", join(one.folder, "leaf.crt"), "-noout", "-pubkey"), own);
    await of("verify", "-CAfile", one.tls.serverCa.cert, join(one.folder, "leaf.crt"));
  });

  test("another machine does not get the name of a node", async () => {
    await ask("n2");
    await assert.rejects(
      ask("n2", proofOf("n2", "other")),
      (error) => error instanceof ClusterError && error.code === "ERR_NODE_PASSWORD" && !error.isFinal,
    );
  });

  test("a name that can be no node's gets no certificate", async () => {
    const client = await clientOf();
    for (const name of ["foo_bar", "-a", "a..b", "x".repeat(236)]) {
      const request = { keyFile: keyFile("no-node"), proof: proofOf(name) };
      const asked = client.certificate("/v1-k3s/client-kubelet.crt", request, limit());
      await assert.rejects(asked, /node name is no DNS subdomain \(400/);
    }
  });

  test("while a webhook is down a node is let in, no other in its name, and its password is stored later", async () => {
    const webhooks = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
    const refusal = { name: "refuse-secrets", url: "https://127.0.0.1:1/", condition: 'startsWith("hooked")' };
    await one.client.create(webhooks, brokenWebhook(refusal), limit());
    await until("the webhook counts", async () => !(await canStore("hooked-probe")));
    await ask("hooked");
    await ask("hooked");
    await assert.rejects(
      ask("hooked", proofOf("hooked", "other")),
      (error) => error instanceof ClusterError && error.code === "ERR_NODE_PASSWORD",
    );
    await one.client.delete(`${webhooks}/refuse-secrets`, limit());
    const secret = await until("the password is stored", () =>
      one.client.get<Secret>(`${SECRETS}/hooked.node-password.k3s`, limit()),
    );
    assert.ok(await matchesHash("pw", Buffer.from(secret.data.hash, "base64").toString()));
    const events = "/api/v1/namespaces/default/events?fieldSelector=involvedObject.name%3Dhooked";
    await until("the event is stored", async () => {
      const { items } = await one.client.get<{ items: readonly { reason: string }[] }>(events, limit());
      return items.some(({ reason }) => reason === "NodePasswordValidationComplete");
    });
  });

  async function canStore(name: string): Promise<boolean> {
    const secret = { apiVersion: "v1", kind: "Secret", metadata: { name } };
    return await one.client.create(`${SECRETS}?dryRun=All`, secret, limit()).then(
      () => true,
      () => false,
    );
  }

  test("two that come at the same time with different passwords: one is the node", async () => {
    const outcomes = await Promise.allSettled([ask("race", proofOf("race", "a")), ask("race", proofOf("race", "b"))]);
    assert.deepEqual(outcomes.map(({ status }) => status).sort(), ["fulfilled", "rejected"]);
  });

  test("a node's own certificate opens no other node's name, and nothing once the node is gone", async () => {
    const proof = proofOf("n3");
    const pem = await (
      await clientOf()
    ).certificate("/v1-k3s/client-kubelet.crt", { keyFile: keyFile("n3"), proof }, limit());
    const pair = { cert: join(one.folder, "n3.crt"), key: keyFile("n3") };
    await writeFile(pair.cert, pem);
    const curl = async (name: string) => {
      const headers = ["-H", `k3s-Node-Name: ${name}`, "-H", "k3s-Node-Password: pw"];
      const tls = ["--cacert", one.tls.serverCa.cert, "--cert", pair.cert, "--key", pair.key];
      const url = `${one.url}/v1-k3s/client-kubelet.crt`;
      return await one.run("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", ...tls, ...headers, url);
    };
    assert.equal(await curl("n4"), "400");
    assert.equal(await curl("n3"), "401");
    await one.client.create("/api/v1/nodes", { apiVersion: "v1", kind: "Node", metadata: { name: "n3" } }, limit());
    assert.equal(await curl("n3"), "200");
    // With the token the node comes back by itself although its certificate counts no more.
    await one.client.delete("/api/v1/nodes/n3", limit());
    const again = new ClusterClient({ trust: await trust(), pair, log });
    await again.certificate("/v1-k3s/client-kubelet.crt", { keyFile: keyFile("n3"), proof }, limit());
  });

  test("before the controllers run only the server's own node is known", async () => {
    one.core.isReady = false;
    await ask("local", proofOf("local", "local-password"));
    await assert.rejects(ask("local", proofOf("local", "other")), /Node password rejected/);
    await assert.rejects(ask("n5"), /runtime core not ready \(503/);
    const ready = await one.run(
      "curl",
      "-s",
      "-w",
      " %{http_code}",
      "--cacert",
      one.tls.serverCa.cert,
      "-u",
      "node:secret",
      `${one.url}/v1-k3s/readyz`,
    );
    assert.match(ready, /runtime core not ready.* 503$/s);
  });

  test("a bootstrap token opens what agents need, and nothing of servers", async () => {
    const secret = {
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: "bootstrap-token-abcdef", namespace: "kube-system" },
      type: "bootstrap.kubernetes.io/token",
      stringData: {
        "token-id": "abcdef",
        "token-secret": "0123456789abcdef",
        "usage-bootstrap-authentication": "true",
      },
    };
    await one.client.create(SECRETS, secret, limit());
    const client = await clientOf("abcdef.0123456789abcdef");
    await client.get("/v1-k3s/config", limit());
    const wrong = await clientOf("abcdef.0123456789abcdeX".toLowerCase().replace("x", "0"));
    await assert.rejects(
      wrong.get("/v1-k3s/config", limit()),
      (error) => error instanceof ClusterError && !error.isFinal && error.code === "ERR_BOOTSTRAP_TOKEN_REFUSED",
    );
    one.listener.setApiserverReady(false);
    try {
      await assert.rejects(client.get("/v1-k3s/config", limit()), /apiserver not ready \(503/);
    } finally {
      one.listener.setApiserverReady(true);
    }
  });

  test("what is no certificate request gets a key with its certificate, as agents of old expect", async () => {
    const url = `${one.url}/v1-k3s/client-kube-proxy.crt`;
    const answer = await one.run("curl", "-s", "--cacert", one.tls.serverCa.cert, "-u", "node:secret", url);
    assert.match(answer, /^-----BEGIN CERTIFICATE-----.*-----END EC PRIVATE KEY-----\n$/s);
    await rm(one.tls.clientKubeProxy.key);
  });

  test("an address that is none is refused in words that say which", async () => {
    const args = ["-H", "k3s-Node-Name: n6", "-H", "k3s-Node-Password: pw", "-H", "k3s-Node-IP: 10.0.0.1,nowhere"];
    const url = `${one.url}/v1-k3s/serving-kubelet.crt`;
    const answer = await one.run("curl", "-s", "--cacert", one.tls.serverCa.cert, "-u", "node:secret", ...args, url);
    assert.match(answer, /invalid node IP address nowhere/);
  });

  test("a kubelet's certificate takes no name or address of servers, services or other nodes", async () => {
    const cases = [
      ["kubernetes.default.svc", [], /is a name of the servers/],
      ["Kubernetes.Default.svc", [], /is a name of the servers/],
      ["10.0.0.1", [], /10\.0\.0\.1 is that of a server/],
      ["n8", ["10.0.0.8", "10.0.0.1"], /10\.0\.0\.1 is that of a server/],
      ["n8", ["10.0.0.99"], /10\.0\.0\.99 is that of a server/],
      ["n8", ["::ffff:10.0.0.99"], /10\.0\.0\.99 is that of a server/],
      ["n8", ["10.43.0.1"], /10\.43\.0\.1 is one of the services'/],
      ["n8", ["10.0.0.66"], /10\.0\.0\.66 is that of node n-old; delete that node if it is gone/],
    ] as const;
    for (const [name, ips, reason] of cases)
      await assert.rejects(ask(name, { ...proofOf(name), ips: [...ips] }), reason, ips.join());
  });

  test("a kubelet's certificate has every address of its own, and leaves out those that a NAT gives others as well", async () => {
    const sansOf = async (name: string, ips: string[]) =>
      new X509Certificate(await ask(name, { ...proofOf(name), ips })).subjectAltName ?? "";
    const shared = await sansOf("n9", ["10.0.0.9", "192.0.2.66", "192.0.2.1"]);
    assert.match(shared, /IP Address:10\.0\.0\.9$/);
    assert.match(await sansOf("n-old", ["10.0.0.66", "192.0.2.66"]), /10\.0\.0\.66, IP Address:192\.0\.2\.66$/);
    const proof = { ...proofOf("local", "local-password"), ips: ["10.0.0.1"] };
    assert.match(new X509Certificate(await ask("local", proof)).subjectAltName ?? "", /10\.0\.0\.1$/);
  });

  test("twenty nodes that come at once all get their certificates", async () => {
    const names = Array.from({ length: 20 }, (_, index) => `rack-${index}`);
    const all = await Promise.all(names.map((name) => ask(name)));
    assert.deepEqual(
      all.map((pem) => new X509Certificate(pem).subject),
      names.map((name) => `CN=${name}`),
    );
  });

  test("only the very object that was meant is deleted", async () => {
    await ask("n7");
    const path = `${SECRETS}/n7.node-password.k3s`;
    const { metadata } = await one.client.get<Secret>(path, limit());
    await assert.rejects(one.client.delete(path, limit(), "00000000-0000-0000-0000-000000000000"), isConflict);
    await one.client.delete(path, limit(), metadata.uid);
    await assert.rejects(one.client.get(path, limit()), ApiError);
  });

  test("an absent secret of a node is an ApiError for us too", async () => {
    await assert.rejects(
      one.client.get(`${SECRETS}/none`, limit()),
      (error) => error instanceof ApiError && error.status === 404,
    );
  });
});

/** A webhook that nobody serves, for Secrets whose name fulfils the condition. */
function brokenWebhook(of: { readonly name: string; readonly url: string; readonly condition: string }): object {
  return {
    apiVersion: "admissionregistration.k8s.io/v1",
    kind: "ValidatingWebhookConfiguration",
    metadata: { name: of.name },
    webhooks: [
      {
        name: `${of.name}.example.com`,
        clientConfig: { url: of.url },
        rules: [{ apiGroups: [""], apiVersions: ["v1"], operations: ["CREATE"], resources: ["secrets"] }],
        matchConditions: [{ name: "name", expression: `object.metadata.name.${of.condition}` }],
        sideEffects: "None",
        failurePolicy: "Fail",
        admissionReviewVersions: ["v1"],
      },
    ],
  };
}
