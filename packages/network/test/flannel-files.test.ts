import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { rangesByFamily } from "../src/address.ts";
import { conflist, netConf, subnetEnv } from "../src/flannel-files.ts";

describe("conflist()", () => {
  test("is k3s's: flannel with its delegate's settings, host ports, bandwidth", () => {
    assert.deepEqual(JSON.parse(conflist()), {
      name: "cbr0",
      cniVersion: "1.0.0",
      plugins: [
        { type: "flannel", delegate: { hairpinMode: true, forceAddress: true, isDefaultGateway: true } },
        { type: "portmap", capabilities: { portMappings: true } },
        { type: "bandwidth", capabilities: { bandwidth: true } },
      ],
    });
  });
});

describe("netConf()", () => {
  const cases = [
    [["10.42.0.0/16"], { Network: "10.42.0.0/16", EnableIPv6: false, EnableIPv4: true, IPv6Network: "::/0" }],
    [["fd00:42::/56"], { Network: "0.0.0.0/0", EnableIPv6: true, EnableIPv4: false, IPv6Network: "fd00:42::/56" }],
  ] as const;
  for (const [cidrs, expected] of cases) {
    test(`of ${cidrs.join()} has it and says so`, () =>
      assert.deepEqual(JSON.parse(netConf("host-gw", rangesByFamily(cidrs))), {
        ...expected,
        Backend: { Type: "host-gw" },
      }));
  }
});

describe("subnetEnv()", () => {
  test("names both families where the cluster has both", () => {
    const cluster = rangesByFamily(["10.42.0.0/16", "fd00:42::/56"]);
    const subnets = rangesByFamily(["10.42.3.0/24", "fd00:42:0:3::/64"]);
    assert.deepEqual(subnetEnv({ cluster, subnets, mtu: 1430 }).split("\n"), [
      "FLANNEL_NETWORK=10.42.0.0/16",
      "FLANNEL_SUBNET=10.42.3.1/24",
      "FLANNEL_IPV6_NETWORK=fd00:42::/56",
      "FLANNEL_IPV6_SUBNET=fd00:42:0:3::1/64",
      "FLANNEL_MTU=1430",
      "FLANNEL_IPMASQ=true",
      "",
    ]);
  });
});
