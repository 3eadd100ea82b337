import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  decideEgress,
  EgressTable,
  type EgressKnowledge,
  type EgressMode,
  type EgressRoute,
  type NodeEntry,
  type PodEntry,
} from "../src/index.ts";
import { formatHostPort, parseHostPort, type HostPort } from "../src/host-port.ts";

function aged(day: number): { readonly createdAt: string; readonly isServer: boolean } {
  return { createdAt: `2026-01-0${day}T00:00:00Z`, isServer: false };
}

/** Node `far` takes cluster traffic, `plain` does not, `own` is the server's. */
function table(): EgressTable {
  const made = new EgressTable();
  const node = { kubeletPort: 10_250, takesClusterTraffic: true, ...aged(1) };
  made.setNode({ ...node, name: "far", addresses: ["10.0.0.2", "fd00::2"] });
  made.setNode({ ...node, name: "plain", addresses: ["10.0.0.3"], kubeletPort: 10_260, takesClusterTraffic: false });
  made.setNode({ ...node, name: "own", addresses: ["10.0.0.1"] });
  made.setPod({ ...aged(1), uid: "a", nodeName: "far", addresses: ["10.42.2.7"] });
  made.setPod({ ...aged(1), uid: "b", nodeName: "plain", addresses: ["10.42.3.7"] });
  made.setPod({ ...aged(1), uid: "c", nodeName: "own", addresses: ["10.42.1.7"] });
  return made;
}

const direct = (text: string): EgressRoute => ({ via: "direct", to: hostPort(text) });
const kubelet = (nodeName: string, port = 10_250): EgressRoute => ({
  via: "tunnel",
  nodeName,
  address: `127.0.0.1:${port}`,
  isKubelet: true,
});
const from = (nodeName: string, address: string): EgressRoute => ({
  via: "tunnel",
  nodeName,
  address,
  isKubelet: false,
});

function hostPort(text: string): HostPort {
  const parsed = parseHostPort(text);
  assert.ok(parsed !== undefined, text);
  return parsed;
}

const CASES: readonly (readonly [modes: readonly EgressMode[], target: string, route: EgressRoute])[] = [
  [["agent", "cluster", "pod"], "10.0.0.2:10250", kubelet("far")],
  [["agent", "cluster", "pod"], "10.0.0.2:10010", kubelet("far", 10_010)],
  [["agent", "cluster", "pod"], "[fd00::2]:10250", kubelet("far")],
  [["agent", "cluster", "pod"], "10.0.0.3:10260", kubelet("plain", 10_260)],
  [["agent", "cluster", "pod"], "10.0.0.3:10250", direct("10.0.0.3:10250")],
  [["cluster", "pod"], "10.0.0.2:9100", from("far", "10.0.0.2:9100")],
  [["cluster", "pod"], "[fd00::2]:9100", from("far", "[fd00::2]:9100")],
  [["agent"], "10.0.0.2:9100", direct("10.0.0.2:9100")],
  [["agent"], "10.42.2.7:8443", direct("10.42.2.7:8443")],
  [["cluster", "pod"], "10.42.2.7:8443", from("far", "10.42.2.7:8443")],
  [["cluster", "pod"], "10.42.3.7:8443", direct("10.42.3.7:8443")],
  [["cluster", "pod"], "10.42.1.7:8443", direct("10.42.1.7:8443")],
  [["agent", "cluster", "pod"], "10.0.0.1:10250", direct("127.0.0.9:10250")],
  [["agent", "cluster", "pod"], "10.0.0.1:9100", direct("10.0.0.1:9100")],
  [["agent", "cluster", "pod"], "192.0.2.1:443", direct("192.0.2.1:443")],
  [["agent", "cluster", "pod"], "far:10250", kubelet("far")],
  [["agent", "cluster", "pod"], "unheard-of:10250", kubelet("unheard-of")],
  [["agent", "cluster", "pod"], "own:10250", direct("127.0.0.9:10250")],
  [["disabled"], "10.0.0.2:10250", direct("10.0.0.2:10250")],
  [["disabled"], "10.42.2.7:8443", direct("10.42.2.7:8443")],
  [["disabled"], "far:10250", direct("far:10250")],
];

describe("decideEgress()", () => {
  for (const [modes, target, route] of CASES)
    for (const mode of modes)
      test(`mode ${mode}: ${target} goes ${route.via === "direct" ? "directly" : `through ${route.nodeName}`}`, () => {
        const settings = { mode, local: { nodeName: "own", kubeletHost: "127.0.0.9" } };
        const knowledge: EgressKnowledge = table();
        assert.deepEqual(decideEgress(hostPort(target), knowledge, settings), route);
      });
});

describe("EgressTable", () => {
  const far: NodeEntry = {
    ...aged(1),
    ...{ name: "far", kubeletPort: 10_250, takesClusterTraffic: true, addresses: ["10.0.0.9"] },
  };

  test("a younger node gets no address of another one before that one has lost it", () => {
    const made = table();
    made.setNode({ ...far, ...aged(2), name: "thief", addresses: ["10.0.0.2", "fd00::2", "10.0.0.8"] });
    assert.equal(made.nodeByAddress("10.0.0.2")?.name, "far");
    assert.equal(made.nodeByAddress("10.0.0.8")?.name, "thief");
    made.setNode({ ...far, addresses: ["10.0.0.2"] });
    assert.equal(made.nodeByAddress("10.0.0.2")?.name, "far");
    assert.equal(made.nodeByAddress("fd00::2")?.name, "thief");
    made.removeNode("far");
    assert.equal(made.nodeByAddress("10.0.0.2")?.name, "thief");
  });

  test("a server's node keeps its address from older nodes as well", () => {
    const made = table();
    made.setNode({ ...far, ...aged(2), isServer: true, name: "server", addresses: ["10.0.0.2"] });
    assert.equal(made.nodeByAddress("10.0.0.2")?.name, "server");
  });

  test("retainNodes() and retainPods() forget what is gone", () => {
    const made = table();
    made.retainNodes(new Set(["plain"]));
    made.retainPods(new Set(["b"]));
    assert.equal(made.nodeByAddress("10.0.0.2"), undefined);
    assert.equal(made.nodeByPodAddress("10.42.2.7"), undefined);
    assert.equal(made.nodeByPodAddress("10.42.3.7")?.name, "plain");
  });

  test("a pod's address is the next pod's once that is the only one", () => {
    const made = table();
    const fresh: PodEntry = { ...aged(2), uid: "new", nodeName: "plain", addresses: ["10.42.2.7"] };
    made.setPod(fresh);
    assert.equal(made.nodeByPodAddress("10.42.2.7")?.name, "far");
    made.removePod("a");
    assert.equal(made.nodeByPodAddress("10.42.2.7")?.name, "plain");
    made.removePod("new");
    assert.equal(made.nodeByPodAddress("10.42.2.7"), undefined);
  });
});

describe("parseHostPort()", () => {
  for (const text of ["10.0.0.1:443", "[fd00::1]:443", "node-1:10250"])
    test(`reads ${text}, and formatHostPort() writes it`, () => assert.equal(formatHostPort(hostPort(text)), text));

  for (const text of [
    "",
    "10.0.0.1",
    ":443",
    "a:0",
    "a:65536",
    "a:b",
    "fd00::1:443",
    "[nothing]:1",
    "a b:1",
    "http://a:1",
    "[::1]",
    "a:1:2",
  ])
    test(`refuses "${text}"`, () => assert.equal(parseHostPort(text), undefined));
});
