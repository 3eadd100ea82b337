import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { describe, test, type TestContext } from "node:test";
import { ServerNames } from "@k3s/agent-endpoints";
import type { KubeClient } from "@k3s/kube-client";
import { createLogger } from "@k3s/log";
import { until } from "@k3s/testkit";
import { NoSessionError } from "@k3s/tunnel";
import { Egress } from "../src/egress.ts";

type Types = Readonly<Record<string, "InternalIP" | "ExternalIP">>;

function nodeOf(name: string, types: Types, labels: Readonly<Record<string, string>> = {}): object {
  const addresses = Object.entries(types).map(([address, type]) => ({ type, address }));
  return { metadata: { name, uid: name, labels }, status: { addresses } };
}

const internal = (name: string, ...ips: readonly string[]) =>
  nodeOf(name, Object.fromEntries(ips.map((ip) => [ip, "InternalIP" as const])));

/** Server 10.0.0.11 with its node `own`; 10.0.0.12 serves the API as well; 10.0.0.10 is the balancer in front of both. */
async function startEgress(t: TestContext, nodes: readonly object[]) {
  const sources = new Set<string>();
  const events = new PassThrough();
  const client = {
    get: () => Promise.resolve({ items: nodes, metadata: { resourceVersion: "1" } }),
    stream: (_path: string, signal: AbortSignal) => {
      signal.addEventListener("abort", () => events.end());
      return Promise.resolve(events);
    },
  };
  const egress = new Egress({
    mode: "agent",
    local: { nodeName: "own", kubeletHost: "127.0.0.1" },
    localNode: "own",
    servers: new ServerNames({
      servingSans: ["10.0.0.11", "10.0.0.10", "10.0.0.12", "192.0.2.1"],
      externalIps: ["192.0.2.1"],
      apiServers: () => ["10.0.0.11:6443", "10.0.0.12:6443"],
    }),
    foreignRanges: ["10.43.0.0/16"],
    arePodsInRanges: true,
    tunnels: {
      comesFrom: (name, address) => sources.has(`${name} ${address}`),
      dial: (name) => Promise.reject(new NoSessionError(name)),
    },
    client: () => client as unknown as KubeClient, // sound: nothing else of the client is used
    log: createLogger({ level: "error", format: "text", write: () => undefined }),
  });
  assert.throws(() => egress.holderOf("10.0.0.21"), /core not ready/);
  await egress.start();
  t.after(() => egress.stop());
  await until("the nodes are known", () => Promise.resolve(egress.holderOf("10.0.0.11") !== undefined));
  const put = async (node: object) => {
    const turn = internal("turn", "10.9.9.9");
    for (const object of [node, turn]) events.write(`${JSON.stringify({ type: "MODIFIED", object })}\n`);
    await until("the change is known", () => Promise.resolve(egress.holderOf("10.9.9.9") !== undefined));
    events.write(`${JSON.stringify({ type: "DELETED", object: turn })}\n`);
    await until("all is known", () => Promise.resolve(egress.holderOf("10.9.9.9") === undefined));
  };
  return { egress, sources, put };
}

const own = internal("own", "10.0.0.11");
const CONTROL_PLANE = { "node-role.kubernetes.io/control-plane": "true" };

describe("Egress", () => {
  test("no node gets the address of another by claiming it, whatever its age and its labels", async (t) => {
    const { egress, sources, put } = await startEgress(t, [
      own,
      internal("old", "10.0.0.20"),
      internal("n1", "10.0.0.21"),
    ]);
    await put(nodeOf("old", { "10.0.0.20": "InternalIP", "10.0.0.21": "InternalIP" }, CONTROL_PLANE));
    assert.deepEqual(egress.holderOf("10.0.0.21"), { name: "n1", isExternal: false, isShown: false });
    sources.add("n1 10.0.0.21").add("old 10.0.0.20");
    assert.deepEqual(egress.holderOf("10.0.0.21"), { name: "n1", isExternal: false, isShown: true });
  });

  test("a machine that connects from the address of a node that is gone has it", async (t) => {
    const { egress, sources, put } = await startEgress(t, [own, internal("gone", "10.0.0.21", "FD00:0::21")]);
    await put(internal("n1", "10.0.0.21", "fd00::21"));
    for (const ip of ["10.0.0.21", "fd00::21"]) assert.equal(egress.holderOf(ip)?.name, "gone");
    sources.add("n1 10.0.0.21").add("n1 fd00::21");
    for (const ip of ["10.0.0.21", "fd00::21"]) assert.equal(egress.holderOf(ip)?.name, "n1");
  });

  test("two that came in one list, from behind routers, both lose what they share, and kube-apiserver is told", async (t) => {
    const { egress } = await startEgress(t, [own, internal("a", "192.168.1.2"), internal("b", "192.168.1.2")]);
    assert.deepEqual(egress.holderOf("192.168.1.2"), { name: "a and b", isExternal: false, isShown: false });
    const dialling = egress.route?.dial("192.168.1.2:10250", AbortSignal.timeout(10_000)) ?? Promise.resolve();
    await assert.rejects(dialling, /nodes a and b all have address 192\.168\.1\.2/);
  });

  test("an address of servers is the node's on that server's machine, by its tunnel, and nobody's for the asking", async (t) => {
    const thief = internal("thief", "10.0.0.10", "10.0.0.11", "10.0.0.12");
    const { egress, sources } = await startEgress(t, [thief, own, internal("srv2", "10.0.0.12")]);
    sources.add("thief 10.0.0.10");
    assert.deepEqual(egress.holderOf("10.0.0.11"), { name: "own", isExternal: false, isShown: true });
    assert.equal(egress.holderOf("10.0.0.10"), undefined, "also not for who comes through the balancer");
    assert.equal(egress.holderOf("10.0.0.12"), undefined);
    sources.add("srv2 10.0.0.12");
    assert.equal(egress.holderOf("10.0.0.12")?.name, "srv2");
  });

  test("an address that a NAT gives servers and agents can be an agent's external one", async (t) => {
    const { egress } = await startEgress(t, [
      own,
      nodeOf("n1", { "10.0.0.21": "InternalIP", "192.0.2.1": "ExternalIP" }),
    ]);
    assert.deepEqual(egress.holderOf("192.0.2.1"), { name: "n1", isExternal: true, isShown: false });
  });
});
