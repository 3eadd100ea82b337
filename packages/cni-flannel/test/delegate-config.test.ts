import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { delegateConfig, parsePluginConfig } from "../src/delegate-config.ts";
import { networkOf } from "../src/network-of.ts";
import { parseSubnetFile } from "../src/subnet-file.ts";

const IPV4 = "FLANNEL_NETWORK=10.42.0.0/16\nFLANNEL_SUBNET=10.42.3.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=false\n";
const IPV6 = "FLANNEL_IPV6_NETWORK=fd00:42::/56\nFLANNEL_IPV6_SUBNET=fd00:42:0:3::1/64\n";
const made = (config: object, file = IPV4) =>
  delegateConfig(parsePluginConfig(JSON.stringify({ name: "cbr0", ...config })), parseSubnetFile(file, "file"));

describe("delegateConfig()", () => {
  test("masquerades where the agent does not", () => assert.equal(made({})["ipMasq"], true));

  test("lets the delegate's own settings stand", () => {
    const { mtu, ipMasq, isGateway } = made({ delegate: { mtu: 1280, ipMasq: false, isGateway: false } });
    assert.deepEqual([mtu, ipMasq, isGateway], [1280, false, false]);
  });

  test("makes no gateway of another delegate than a bridge", () =>
    assert.equal("isGateway" in made({ delegate: { type: "ptp" } }), false));

  test("gives addresses and routes of both families, after the routes of the list", () => {
    const { ipam } = made({ ipam: { routes: [{ dst: "192.0.2.0/24" }], dataDir: "/x" } }, IPV4 + IPV6);
    assert.deepEqual(ipam, {
      type: "host-local",
      dataDir: "/x",
      ranges: [[{ subnet: "10.42.3.0/24" }], [{ subnet: "fd00:42:0:3::/64" }]],
      routes: [{ dst: "192.0.2.0/24" }, { dst: "10.42.0.0/16" }, { dst: "fd00:42::/56" }],
    });
  });
});

describe("parseSubnetFile()", () => {
  const missing = ["FLANNEL_NETWORK", "FLANNEL_SUBNET", "FLANNEL_MTU", "FLANNEL_IPMASQ"];
  for (const key of missing) {
    test(`misses ${key}`, () => {
      const text = IPV4.split("\n").filter((line) => !line.startsWith(`${key}=`));
      assert.throws(() => parseSubnetFile(text.join("\n"), "/f"), { message: `Cannot use "/f": it lacks ${key}` });
    });
  }
});

describe("networkOf()", () => {
  const cases = [
    ["10.42.3.1/24", "10.42.3.0/24"],
    ["10.42.3.129/25", "10.42.3.128/25"],
    ["192.168.255.1/16", "192.168.0.0/16"],
    ["fd00:42:0:3::1/64", "fd00:42:0:3::/64"],
    ["::1/0", "::/0"],
    ["2001:db8:1:2:3:4:5:6/60", "2001:db8:1::/60"],
  ] as const;
  for (const [text, network] of cases) test(`of ${text} is ${network}`, () => assert.equal(networkOf(text), network));
  for (const text of ["10.42.3.1", "10.42.3.1/33", "pods/24", "fd00::/129"])
    test(`refuses ${text}`, () => assert.throws(() => networkOf(text), RangeError));
});
