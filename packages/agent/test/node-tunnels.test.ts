import assert from "node:assert/strict";
import { once } from "node:events";
import { cp, mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { TLSSocket } from "node:tls";
import { LoadBalancer } from "@k3s/loadbalancer";
import { createLogger } from "@k3s/log";
import { ensureAgentPki, ensureServerPki } from "@k3s/pki";
import { until } from "@k3s/testkit";
import { TunnelServer } from "@k3s/tunnel";
import { nodeTunnels } from "../src/index.ts";

const log = createLogger({ level: "debug", format: "json", write: () => undefined });

interface Machine {
  readonly folder: string;
  /** Makes a node's certificates in a folder of their own. */
  readonly issue: (nodeName: string) => Promise<string>;
  readonly tunnels: TunnelServer;
  readonly url: string;
}

/** A server that takes tunnels on TLS and believes what client certificates say. */
async function startServer(t: TestContext): Promise<Machine> {
  const folder = await mkdtemp(join(tmpdir(), "node-tunnels-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const serverDir = join(folder, "server");
  const apiServerUrl = "https://127.0.0.1:6444";
  const { tls } = await ensureServerPki({
    serverDir,
    clusterDomain: "cluster.local",
    sans: ["127.0.0.1"],
    apiServerUrl,
  });
  const [cert, key, ca] = await Promise.all(
    [tls.servingApiServer.cert, tls.servingApiServer.key, tls.clientCa.cert].map((path) => readFile(path)),
  );
  const https = createServer({ cert, key, ca, requestCert: true, rejectUnauthorized: true });
  const tunnels = new TunnelServer({ log });
  https.on("upgrade", (request, socket, head) => {
    if (!(socket instanceof TLSSocket)) return void socket.destroy();
    const { subject } = socket.getPeerCertificate();
    tunnels.accept({ request, socket, head, nodeName: subject.CN.replace("system:node:", "") });
  });
  https.listen(0, "127.0.0.1");
  t.after(async () => {
    https.close();
    await tunnels.close();
    https.closeAllConnections();
  });
  await once(https, "listening");
  const issue = async (nodeName: string) => {
    const agentDir = join(folder, nodeName);
    await ensureAgentPki({ agentDir, serverDir, nodeName, nodeIps: ["127.0.0.1"], apiServerUrl });
    return agentDir;
  };
  return { folder, issue, tunnels, url: `https://127.0.0.1:${(https.address() as AddressInfo).port}` };
}

async function startBalancer(t: TestContext, { folder, url }: Machine): Promise<LoadBalancer> {
  const listen = { host: "127.0.0.1", port: 0 } as const;
  const balancer = new LoadBalancer({ name: "test", serverUrl: url, folder, listen, log });
  await balancer.prepare();
  t.after(() => balancer.stop(AbortSignal.timeout(0)));
  return balancer;
}

test("a tunnel that opens again shows the certificate that is on disk by then", async (t) => {
  const machine = await startServer(t);
  const { issue, tunnels } = machine;
  const agentDir = await issue("before");
  const signal = new AbortController().signal;
  const component = nodeTunnels({
    config: {
      ...{ nodeName: "before", nodeIp: ["127.0.0.1"], kubeletArg: [] },
      ...{ bindAddress: undefined, loopbackAddress: "127.0.0.1", paths: { agentDir } },
    },
    ...{ egressSelectorMode: "agent", clusterCidrs: ["10.42.0.0/16"] },
    client: () => assert.fail("no server has told of others"),
    servers: { balancer: await startBalancer(t, machine), ask: () => Promise.resolve([]) },
    log,
  });
  await component.start({ signal, lost: (error) => assert.fail(String(error)) });
  t.after(() => component.stop(signal));
  await until("the tunnel is open", () => Promise.resolve(tunnels.hasSession("before")));
  await cp(await issue("after"), agentDir, { recursive: true, force: true });
  // A dial that no node allows ends the session.
  const refused = await tunnels.dial("before", "tcp", "127.0.0.1:1");
  refused.on("error", () => undefined);
  await until("the tunnel is open again", () => Promise.resolve(tunnels.hasSession("after")));
  assert.equal(tunnels.hasSession("before"), false);
});
