import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { NetworkError } from "../src/errors.ts";
import { parseRange } from "../src/address.ts";
import {
  backendOf,
  findPeers,
  fingerprint,
  leaseAnnotations,
  missingAnnotations,
  podRanges,
  publishedMac,
  type NetworkNode,
} from "../src/lease.ts";

/** As a node of k3s says it. */
const K3S: Readonly<Record<string, string>> = {
  "flannel.alpha.coreos.com/backend-data": '{"VNI":1,"VtepMAC":"3a:fd:69:f3:a1:15"}',
  "flannel.alpha.coreos.com/backend-type": "vxlan",
  "flannel.alpha.coreos.com/kube-subnet-manager": "true",
  "flannel.alpha.coreos.com/public-ip": "192.0.2.7",
};

interface NodeParts {
  readonly name?: string;
  readonly subnet?: string;
  readonly created?: string;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly addresses?: readonly string[];
}

function node({
  name = "peer",
  subnet = "10.42.7.0/24",
  created = "2026-01-01T00:00:00Z",
  annotations = {},
  addresses = [],
}: NodeParts): NetworkNode {
  return {
    metadata: { name, creationTimestamp: created, annotations: { ...K3S, ...annotations } },
    spec: { podCIDR: subnet, podCIDRs: [subnet] },
    status: { addresses: addresses.map((address) => ({ type: "InternalIP", address })) },
  };
}

function range(text: string) {
  const parsed = parseRange(text);
  assert.ok(parsed);
  return parsed;
}

const view = {
  family: 4 as const,
  backend: "vxlan" as const,
  cluster: range("10.42.0.0/16"),
  own: { node: "own", subnet: range("10.42.0.0/24") },
  holders: new Map<string, string>(),
};

describe("leaseAnnotations()", () => {
  test("are those of flannel for vxlan", () => {
    const lease = { publicIp: "192.0.2.7", mac: "3a:fd:69:f3:a1:15", overwrite: "" };
    assert.deepEqual(leaseAnnotations("vxlan", { 4: lease }), {
      ...K3S,
      "flannel.alpha.coreos.com/public-ip-overwrite": null,
      "flannel.alpha.coreos.com/public-ipv6-overwrite": null,
    });
  });

  test("have a second set for IPv6", () => {
    const lease = { publicIp: "fd99::7", mac: "3a:fd:69:f3:a1:15", overwrite: "" };
    const annotations = leaseAnnotations("vxlan", { 6: lease });
    assert.equal(annotations["flannel.alpha.coreos.com/public-ipv6"], "fd99::7");
    assert.equal(annotations["flannel.alpha.coreos.com/backend-v6-data"], K3S["flannel.alpha.coreos.com/backend-data"]);
    assert.equal("flannel.alpha.coreos.com/public-ip" in annotations, false);
  });

  test("have no data for host-gw", () => {
    const annotations = leaseAnnotations("host-gw", { 4: { publicIp: "192.0.2.7", mac: "", overwrite: "" } });
    assert.equal(annotations["flannel.alpha.coreos.com/backend-data"], "null");
  });

  test("name the external address where others are to use that", () => {
    const annotations = leaseAnnotations("vxlan", {
      4: { publicIp: "10.0.0.7", mac: "3a:fd:69:f3:a1:15", overwrite: "192.0.2.7" },
    });
    assert.equal(annotations["flannel.alpha.coreos.com/public-ip"], "192.0.2.7");
    assert.equal(annotations["flannel.alpha.coreos.com/public-ip-overwrite"], "192.0.2.7");
  });
});

describe("missingAnnotations()", () => {
  test("are what is absent, differs, or is to go", () => {
    const found = missingAnnotations(node({ annotations: { same: "1", other: "2", gone: "3" } }), {
      ...{ same: "1", other: "9", absent: "4" },
      ...{ gone: null, never: null },
    });
    assert.deepEqual(found, { other: "9", absent: "4", gone: null });
  });
});

describe("findPeers()", () => {
  test("reads what a node of k3s says", () => {
    assert.deepEqual(findPeers([node({})], view), {
      peers: [{ node: "peer", subnet: range("10.42.7.0/24"), publicIp: "192.0.2.7", mac: "3a:fd:69:f3:a1:15" }],
      refused: [],
    });
  });

  const silent: readonly (readonly [string, NetworkNode])[] = [
    ["the node itself", node({ name: "own" })],
    ["a node that is no member", node({ annotations: { "flannel.alpha.coreos.com/kube-subnet-manager": "false" } })],
    ["a node without a range", { ...node({}), spec: {} }],
    ["a node with a range of the other family only", node({ subnet: "fd00:42::/64" })],
  ];
  for (const [what, found] of silent)
    test(`passes over ${what}`, () => assert.deepEqual(findPeers([found], view), { peers: [], refused: [] }));

  const flannel = (key: string, value: string) => ({ annotations: { [`flannel.alpha.coreos.com/${key}`]: value } });
  const refused = [
    ["a range outside of the cluster's", { subnet: "10.43.0.0/24" }, "its range is not of the cluster's"],
    ["a range that is everything", { subnet: "0.0.0.0/0" }, "its range is not of the cluster's"],
    ["the range of this node", { subnet: "10.42.0.0/25" }, "its range is this node's"],
    ["another backend", flannel("backend-type", "host-gw"), 'it uses the backend "host-gw", this node "vxlan"'],
    ["no address", flannel("public-ip", ""), "it names no address where it is reached"],
    ["an address of the other family", flannel("public-ip", "fd99::1"), "it names no address where it is reached"],
    ["a multicast address", flannel("public-ip", "224.0.0.1"), "it names no address where it is reached"],
    ["a loopback address", flannel("public-ip", "127.0.0.1"), "it names no address where it is reached"],
    ["no data", flannel("backend-data", "null"), "it names no interface address"],
    ["data that are no JSON", flannel("backend-data", "{"), "it names no interface address"],
    [
      "a group address as its interface's",
      flannel("backend-data", '{"VtepMAC":"33:33:00:00:00:01"}'),
      "it names no interface address",
    ],
  ] as const;
  for (const [what, parts, reason] of refused) {
    test(`refuses ${what}`, () =>
      assert.deepEqual(findPeers([node(parts)], view), { peers: [], refused: [{ node: "peer", reason }] }));
  }

  const thief = { name: "a-thief", created: "2026-06-01T00:00:00Z" };
  const thefts = [
    [
      "range",
      { ...thief, ...flannel("backend-data", '{"VtepMAC":"02:00:00:00:00:01"}') },
      'its range is that of node "peer"',
    ],
    [
      "interface address",
      { ...thief, subnet: "10.42.8.0/24", ...flannel("public-ip", "192.0.2.8") },
      'its interface address is that of node "peer"',
    ],
  ] as const;
  for (const [what, parts, reason] of thefts) {
    test(`believes the older of two nodes with one ${what}`, () => {
      const { peers, refused: rejected } = findPeers([node(parts), node({})], view);
      assert.deepEqual(
        peers.map((peer) => peer.node),
        ["peer"],
      );
      assert.deepEqual(rejected, [{ node: "a-thief", reason }]);
    });
  }

  const MAC = "3a:fd:69:f3:a1:15";
  const elder = { name: "elder", created: "2025-01-01T00:00:00Z", subnet: "10.42.8.0/24" };
  const reachedAt = (ip: string) => flannel("public-ip", ip);
  const claims = [
    ["stays with who has it although an older node claims it", reachedAt("192.0.2.8"), [[MAC, "192.0.2.7"]], ["peer"]],
    ["goes to the node that is reached at an address of its own", reachedAt("192.0.2.8"), [], ["peer"]],
    [
      "stays with who has it although the other is reached at an address of its own",
      { ...reachedAt("192.0.2.8"), addresses: ["192.0.2.8"] },
      [[MAC, "192.0.2.7"]],
      ["peer"],
    ],
    ["goes to the older of equals", { ...reachedAt("192.0.2.8"), addresses: ["192.0.2.8"] }, [], ["elder"]],
    ["may be that of two that are reached at one address", reachedAt("192.0.2.7"), [], ["elder", "peer"]],
    ["is free when who had it is gone", { ...reachedAt("192.0.2.8") }, [[MAC, "192.0.2.9"]], ["peer"]],
  ] as const;
  for (const [what, parts, holders, expected] of claims)
    test(`an interface address ${what}`, () => {
      const nodes = [node({ ...elder, ...parts }), node({ addresses: ["192.0.2.7"] })];
      const { peers } = findPeers(nodes, { ...view, holders: new Map(holders) });
      assert.deepEqual(
        peers.map((peer) => peer.node),
        expected,
      );
    });

  test("needs no data of a node with host-gw", () => {
    const found = node({
      annotations: {
        "flannel.alpha.coreos.com/backend-type": "host-gw",
        "flannel.alpha.coreos.com/backend-data": "null",
      },
    });
    const { peers } = findPeers([found], { ...view, backend: "host-gw" });
    assert.deepEqual(peers, [{ node: "peer", subnet: range("10.42.7.0/24"), publicIp: "192.0.2.7", mac: "" }]);
  });
});

describe("publishedMac()", () => {
  test("is what an earlier start has told", () => assert.equal(publishedMac(node({}), 4), "3a:fd:69:f3:a1:15"));
  test("is nothing of another family or backend", () => {
    assert.equal(publishedMac(node({}), 6), undefined);
    assert.equal(
      publishedMac(node({ annotations: { "flannel.alpha.coreos.com/backend-type": "host-gw" } }), 4),
      undefined,
    );
  });
});

describe("podRanges()", () => {
  test("has one range of each family", () => {
    const dual: NetworkNode = {
      metadata: { name: "n" },
      spec: { podCIDR: "10.42.1.0/24", podCIDRs: ["10.42.1.0/24", "fd00:42:0:1::/64"] },
    };
    assert.deepEqual(podRanges(dual), { 4: range("10.42.1.0/24"), 6: range("fd00:42:0:1::/64") });
    assert.deepEqual(podRanges({ metadata: { name: "n" }, spec: { podCIDR: "10.42.1.0/24" } }), {
      4: range("10.42.1.0/24"),
    });
  });
});

describe("fingerprint()", () => {
  test("changes with range and annotations of flannel, and with nothing else", () => {
    const before = fingerprint(node({}));
    assert.equal(fingerprint(node({ annotations: { other: "x" } })), before);
    assert.notEqual(fingerprint(node({ subnet: "10.42.8.0/24" })), before);
    assert.notEqual(fingerprint(node(flannel("public-ip", "192.0.2.8"))), before);
  });
  const flannel = (key: string, value: string) => ({ annotations: { [`flannel.alpha.coreos.com/${key}`]: value } });
});

describe("backendOf()", () => {
  test("knows vxlan, host-gw and none", () =>
    assert.deepEqual(["vxlan", "host-gw", "none"].map(backendOf), ["vxlan", "host-gw", undefined]));
  test("refuses what only others serve", () =>
    assert.throws(
      () => backendOf("wireguard-native"),
      (error) => error instanceof NetworkError && error.code === "ERR_NETWORK_BACKEND",
    ));
});
