import assert from "node:assert/strict";
import { once } from "node:events";
import { copyFile, mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { TLSSocket } from "node:tls";
import type { KubeObject } from "@k3s/kube-client";
import { agentPaths, ensureAgentPki, ensureServerPki } from "@k3s/pki";
import { ApiClients } from "../src/index.ts";

test("ApiClients show a renewed certificate from the next request on, once its key is there too", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "k3s-clients-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const serverDir = join(folder, "server");
  const apiServerUrl = "https://127.0.0.1:1";
  const { tls } = await ensureServerPki({ serverDir, clusterDomain: "c.local", sans: ["127.0.0.1"], apiServerUrl });
  const [cert, key, ca] = await Promise.all(
    [tls.servingApiServer.cert, tls.servingApiServer.key, tls.clientCa.cert].map((path) => readFile(path)),
  );
  // Says who asks.
  const api = createServer({ cert, key, ca, requestCert: true, rejectUnauthorized: true }, (request, response) => {
    const name = request.socket instanceof TLSSocket ? request.socket.getPeerCertificate().subject.CN : "";
    response.end(JSON.stringify({ metadata: { name } }));
  }).listen(0, "127.0.0.1");
  t.after(() => {
    api.closeAllConnections();
    api.close();
  });
  await once(api, "listening");
  const issue = async (nodeName: string) => {
    const agentDir = join(folder, nodeName);
    await ensureAgentPki({ agentDir, serverDir, nodeName, nodeIps: ["127.0.0.1"], apiServerUrl });
    return agentPaths(agentDir);
  };
  const [used, renewed] = [await issue("before"), await issue("after")];
  const clients = new ApiClients({
    server: `https://127.0.0.1:${(api.address() as AddressInfo).port}`,
    caFile: used.serverCa,
    identities: [{ name: "kubelet", pair: used.clientKubelet }],
  });
  t.after(() => clients.stop());
  await clients.start();
  const client = clients.get("kubelet");
  const whoAmI = async () => (await client.get<KubeObject>("/api", AbortSignal.timeout(30_000))).metadata.name;
  assert.equal(await whoAmI(), "system:node:before");
  await copyFile(renewed.clientKubelet.cert, used.clientKubelet.cert);
  await clients.refresh();
  assert.equal(await whoAmI(), "system:node:before");
  await copyFile(renewed.clientKubelet.key, used.clientKubelet.key);
  await clients.refresh();
  assert.equal(await whoAmI(), "system:node:after");
});
