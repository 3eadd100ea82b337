import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { test, type TestContext } from "node:test";
import { ServerNames } from "@k3s/agent-endpoints";
import type { KubeClient } from "@k3s/kube-client";
import { createLogger } from "@k3s/log";
import { until } from "@k3s/testkit";
import { Egress } from "../src/egress.ts";

const node = (name: string, ip: string, podCIDR: string) => ({
  metadata: { name, uid: name, labels: { "egress.k3s.io/cluster": "true" } },
  spec: { podCIDR, podCIDRs: [podCIDR] },
  status: { addresses: [{ type: "InternalIP", address: ip }] },
});
const pod = (uid: string, nodeName: string, creationTimestamp: string) => ({
  metadata: { name: uid, uid, creationTimestamp },
  spec: { nodeName },
  status: { phase: "Running", podIPs: [{ ip: "10.42.1.7" }] },
});
const NODES = [node("victim", "10.0.0.21", "10.42.1.0/24"), node("thief", "10.0.0.20", "10.42.2.0/24")];
const PODS = [pod("a", "thief", "2025-01-01T00:00:00Z"), pod("b", "victim", "2026-01-01T00:00:00Z")];

/** Through whose tunnel the pod with the address 10.42.1.7 is reached. */
async function nodeOfPod(t: TestContext, arePodsInRanges: boolean): Promise<string> {
  const listed = new Set<string>();
  const client = {
    get: (path: string) => {
      listed.add(path);
      return Promise.resolve({ items: path.endsWith("/nodes") ? NODES : PODS, metadata: { resourceVersion: "1" } });
    },
    stream: (path: string, signal: AbortSignal) => {
      const events = new PassThrough();
      signal.addEventListener("abort", () => events.end());
      listed.add(path.split("?")[0] ?? "");
      return Promise.resolve(events);
    },
  };
  const dialled: string[] = [];
  const dial = (name: string) => {
    dialled.push(name);
    return Promise.reject(new Error("nobody is there"));
  };
  const egress = new Egress({
    mode: "pod",
    local: { nodeName: "own", kubeletHost: "127.0.0.1" },
    localNode: "own",
    servers: new ServerNames({ servingSans: [], externalIps: [], apiServers: () => [] }),
    foreignRanges: [],
    arePodsInRanges,
    tunnels: { comesFrom: () => false, dial },
    client: () => client as unknown as KubeClient, // sound: nothing else of the client is used
    log: createLogger({ level: "error", format: "text", write: () => undefined }),
  });
  await egress.start();
  t.after(() => egress.stop());
  await until("pods and nodes are known", async () => {
    const signal = AbortSignal.timeout(10_000);
    await egress.route?.dial("10.42.1.7:8080", signal).catch(() => undefined);
    return listed.size === 2 && dialled.length > 0;
  });
  return dialled.at(-1) ?? "";
}

test("Egress believes a kubelet the addresses of its node's ranges alone", async (t) => {
  assert.equal(await nodeOfPod(t, true), "victim");
});

test("Egress believes kubelets every address where the pod network is the user's", async (t) => {
  assert.equal(await nodeOfPod(t, false), "thief");
});
