import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  ClusterConfigError,
  differences,
  encodeClusterConfig,
  parseClusterConfig,
  type ClusterFacts,
} from "../src/index.ts";

const facts: ClusterFacts = {
  clusterCidrs: ["10.42.0.0/16"],
  serviceCidrs: ["10.43.0.0/16"],
  clusterDns: ["10.43.0.10"],
  clusterDomain: "cluster.local",
  serviceNodePortRange: "30000-32767",
  flannelBackend: "vxlan",
  egressSelectorMode: "agent",
  supervisorMetrics: false,
  disableCloudController: false,
  disableHelmController: false,
  disableNetworkPolicy: false,
  disableServiceLb: false,
  disableKubeProxy: false,
  disableScheduler: false,
  disableAgent: false,
  disabled: [],
  httpsPort: 6443,
  advertisePort: 6443,
  advertiseIp: "10.0.0.1",
  apiserverPort: 6444,
  bindAddress: "",
  dataDir: "/var/lib/rancher/k3s",
  nodeName: "srv1",
  sans: ["srv1"],
  tls: { minVersion: "", cipherSuites: ["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"] },
  ipsecPsk: "ab".repeat(48),
  kubeconfig: { path: "/etc/rancher/k3s/k3s.yaml", mode: "0600", group: "", name: "default" },
  joinUrl: "",
  verbosity: { level: 0, modules: "" },
  extraArgs: { apiserver: [], controllerManager: [], scheduler: [] },
};

const fieldsOf = (changed: Partial<ClusterFacts>) =>
  parseClusterConfig(encodeClusterConfig({ ...facts, ...changed })).fields;

describe("the document of /v1-k3s/config", () => {
  // The shortened example of the protocol: every member must be there with this very value.
  const example = {
    ClusterDNSs: ["10.43.0.10"],
    ClusterIPRanges: [{ IP: "10.42.0.0", Mask: "//8AAA==" }],
    ClusterDNS: "10.43.0.10",
    ClusterDomain: "cluster.local",
    ClusterIPRange: { IP: "10.42.0.0", Mask: "//8AAA==" },
    DisableCCM: false,
    DisableHelmController: false,
    DisableNPC: false,
    EncryptSecrets: false,
    EncryptProvider: "aescbc",
    EmbeddedRegistry: false,
    FlannelBackend: "vxlan",
    FlannelIPv6Masq: false,
    FlannelExternalIP: false,
    EgressSelectorMode: "agent",
    ServiceIPRange: { IP: "10.43.0.0", Mask: "//8AAA==" },
    ServiceIPRanges: [{ IP: "10.43.0.0", Mask: "//8AAA==" }],
    SupervisorMetrics: false,
    AdvertisePort: 6443,
    HTTPSPort: 6443,
    SupervisorPort: 6443,
    APIServerPort: 6444,
    ServiceNodePortRange: { Base: 30000, Size: 2768 },
    DisableKubeProxy: false,
    DisableServiceLB: false,
    SystemDefaultRegistry: "",
    MinTLSVersion: "",
    ServerNodeName: "srv1",
  };
  const text = encodeClusterConfig(facts);
  const written = JSON.parse(text) as Record<string, unknown>;
  for (const [name, value] of Object.entries(example)) {
    test(`${name} is written as Go writes it`, () => assert.deepEqual(written[name], value));
  }

  test("ends with a newline, keeps secrets of the server to itself, and has null for lists that are not there", () => {
    assert.ok(text.endsWith("}\n"));
    for (const name of ["Token", "AgentToken", "Datastore", "Runtime"]) assert.equal(name in written, false);
    assert.equal(written["ExtraAPIArgs"], null);
  });

  test("is read back, IPv6 and both families included", () => {
    const dual = {
      ...facts,
      clusterCidrs: ["10.42.0.0/16", "fd00:42::/56"],
      serviceCidrs: ["10.43.0.0/16", "fd00:43::/112"],
    } as const;
    const config = parseClusterConfig(encodeClusterConfig(dual));
    assert.deepEqual(config.clusterCidrs, ["10.42.0.0/16", "fd00:42::/56"]);
    assert.deepEqual(config.serviceCidrs, ["10.43.0.0/16", "fd00:43::/112"]);
    assert.equal(config.serviceNodePortRange, "30000-32767");
    assert.equal(config.supervisorPort, 6443);
  });

  test("of a server that knows no lists yet is read by its single values", () => {
    const { ClusterIPRanges: _, ServiceIPRanges: __, ClusterDNSs: ___, ...old } = written;
    const config = parseClusterConfig(JSON.stringify(old));
    assert.deepEqual([config.clusterCidrs, config.clusterDns], [["10.42.0.0/16"], ["10.43.0.10"]]);
  });

  const unusable: readonly (readonly [string, string, string])[] = [
    ["<html>", "text", "ERR_CLUSTER_CONFIG_UNREADABLE"],
    ["an array", "[]", "ERR_CLUSTER_CONFIG_UNREADABLE"],
    ["one without ports", JSON.stringify({ ...written, HTTPSPort: 0 }), "ERR_CLUSTER_CONFIG_INCOMPLETE"],
    ["one with two ports", JSON.stringify({ ...written, SupervisorPort: 9345 }), "ERR_SERVER_TWO_PORTS"],
    [
      "one of a server too old",
      JSON.stringify({ ...written, ServiceNodePortRange: { Base: 0, Size: 0 } }),
      "ERR_SERVER_DOWN_LEVEL",
    ],
    [
      "one whose masks are none",
      JSON.stringify({ ...written, ClusterIPRanges: null, ClusterIPRange: { IP: "10.42.0.0", Mask: "/wD/AA==" } }),
      "ERR_CLUSTER_CONFIG_INCOMPLETE",
    ],
  ];
  for (const [name, given, code] of unusable) {
    test(`${name} is refused with ${code}`, () => {
      assert.throws(
        () => parseClusterConfig(given),
        (error) => error instanceof ClusterConfigError && error.code === code,
      );
    });
  }
});

describe("critical settings of two servers", () => {
  test("do not differ when they are the same", () => assert.deepEqual(differences(fieldsOf({}), fieldsOf({})), []));

  test("are named once each, with both values", () => {
    const other = fieldsOf({ clusterCidrs: ["10.52.0.0/16"], flannelBackend: "none", disableServiceLb: true });
    assert.deepEqual(differences(fieldsOf({}), other), [
      { flag: "cluster-cidr", own: "10.42.0.0/16", other: "10.52.0.0/16" },
      { flag: "disable-service-lb", own: "false", other: "true" },
      { flag: "flannel-backend", own: "vxlan", other: "none" },
    ]);
  });

  test("may be empty where an older server does not know them", () => {
    assert.deepEqual(differences(fieldsOf({}), { ...fieldsOf({}), EgressSelectorMode: "" }), []);
  });

  test("that concern one server alone are not compared", () => {
    assert.deepEqual(differences(fieldsOf({}), fieldsOf({ nodeName: "srv2", dataDir: "/data" })), []);
  });
});
