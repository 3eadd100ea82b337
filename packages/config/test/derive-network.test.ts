import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { load, problemsOf } from "./fixtures.ts";

const V6 = { addresses: { 6: "2001:db8::7" } } as const;
const BOTH = { addresses: { 4: "192.0.2.7", 6: "2001:db8::7" } } as const;

describe("deriveNetwork(): the address to listen on", () => {
  for (const given of ["0.0.0.0", "::", "0::0"]) {
    test(`${given} is every address, not one to connect to`, async () => {
      assert.equal((await load({ flags: { "bind-address": given } })).bindAddress, undefined);
    });
  }

  test("is any other as it was given", async () => {
    assert.equal((await load({ flags: { "bind-address": "192.0.2.7" } })).bindAddress, "192.0.2.7");
    assert.equal((await load({ flags: { "bind-address": "::1" } })).bindAddress, "::1");
  });
});

describe("deriveNetwork(): defaults by family", () => {
  test("IPv4 where the machine has it", async () => {
    const config = await load({ host: BOTH });
    assert.deepEqual(config.nodeIp, ["192.0.2.7"]);
    assert.deepEqual(config.clusterCidr, ["10.42.0.0/16"]);
    assert.deepEqual(config.serviceCidr, ["10.43.0.0/16"]);
    assert.deepEqual(config.clusterDns, ["10.43.0.10"]);
    assert.equal(config.serviceIp, "10.43.0.1");
    assert.equal(config.loopbackAddress, "127.0.0.1");
    assert.equal(config.advertiseAddress, "192.0.2.7");
    assert.equal(config.advertisePort, 6443);
  });

  test("IPv6 on a machine with IPv6 only", async () => {
    const config = await load({ host: V6 });
    assert.deepEqual(config.nodeIp, ["2001:db8::7"]);
    assert.deepEqual(config.clusterCidr, ["fd00:42::/56"]);
    assert.deepEqual(config.serviceCidr, ["fd00:43::/112"]);
    assert.deepEqual(config.clusterDns, ["fd00:43::a"]);
    assert.equal(config.serviceIp, "fd00:43::1");
    assert.equal(config.loopbackAddress, "::1");
    assert.equal(config.advertiseAddress, "2001:db8::7");
  });

  test("the family of the first --node-ip decides, whatever else the machine has", async () => {
    const config = await load({ host: BOTH, flags: { "node-ip": "2001:db8::9" } });
    assert.deepEqual(config.clusterCidr, ["fd00:42::/56"]);
    assert.ok(config.warnings.some((warning) => warning.includes("2001:db8::9 is not an address of this machine")));
  });

  test("two families when both ranges have two, with node addresses in their order", async () => {
    const flags = { "cluster-cidr": "fd01::/56,10.50.0.0/16", "service-cidr": "fd02::/112,10.51.0.0/16" };
    const config = await load({ host: BOTH, flags });
    assert.deepEqual(config.nodeIp, ["2001:db8::7", "192.0.2.7"]);
    assert.deepEqual(config.clusterDns, ["fd02::a", "10.51.0.10"]);
    assert.equal(config.serviceIp, "fd02::1");
    assert.equal(config.loopbackAddress, "::1");
  });

  test("the first external address is advertised before the node's own", async () => {
    const config = await load({ flags: { "node-external-ip": "198.51.100.9", "https-listen-port": "7443" } });
    assert.equal(config.advertiseAddress, "198.51.100.9");
    assert.equal(config.advertisePort, 7443);
    assert.equal(config.apiserverPort, 7444);
  });
});

describe("deriveNetwork(): what does not fit together", () => {
  const cases = [
    [
      "overlapping ranges",
      { "cluster-cidr": "10.43.0.0/16" },
      /^--cluster-cidr "10.43.0.0\/16" must not overlap --service-cidr/,
    ],
    [
      "a service range inside the pods'",
      { "service-cidr": "10.42.8.0/22" },
      /^--cluster-cidr "10.42.0.0\/16" must not overlap/,
    ],
    [
      "a DNS server outside",
      { "cluster-dns": "10.44.0.10" },
      /^--cluster-dns must lie in --service-cidr 10.43.0.0\/16/,
    ],
    [
      "a DNS server on the API's address",
      { "cluster-dns": "10.43.0.1" },
      /^--cluster-dns must not be one of the first two/,
    ],
    ["a tiny service range", { "service-cidr": "10.43.0.0/29" }, /^--service-cidr must have room for the DNS server/],
    [
      "a service range around the node",
      { "service-cidr": "192.0.2.0/24" },
      /^--service-cidr .+ must not contain the address of the node/,
    ],
    [
      "a pod range around the node",
      { "cluster-cidr": "192.0.0.0/16" },
      /^--cluster-cidr .+ must not contain the address of the node/,
    ],
    [
      "ranges of different families",
      { "service-cidr": "fd00:43::/112" },
      /must be of the same families: they are IPv4 and IPv6/,
    ],
    [
      "two ranges of one family",
      { "cluster-cidr": "10.42.0.0/16,10.44.0.0/16" },
      /^--cluster-cidr must have at most one entry per family/,
    ],
    [
      "two node addresses of one family",
      { "node-ip": "192.0.2.7,192.0.2.8" },
      /^--node-ip must have at most one entry per family/,
    ],
    [
      "a pod range too small for a node",
      { "cluster-cidr": "10.42.0.0/25" },
      /^--cluster-cidr must have a length from \/8 to \/24/,
    ],
    [
      "a pod range too large to count",
      { "cluster-cidr": "10.0.0.0/7", "service-cidr": "172.16.0.0/16" },
      /must have a length from \/8/,
    ],
    [
      "an advertised address of another family",
      { "advertise-address": "2001:db8::1" },
      /^--advertise-address must be IPv4/,
    ],
    ["the last port", { "https-listen-port": "65535" }, /^--https-listen-port must be below 65535/],
    [
      "a family the machine lacks",
      { "cluster-cidr": "fd00:42::/56", "service-cidr": "fd00:43::/112" },
      /^--node-ip must be given: this machine has no default route for IPv6/,
    ],
  ] as const;
  for (const [what, flags, expected] of cases) {
    test(`refuses ${what}`, async () => {
      const problems = await problemsOf({ flags });
      assert.ok(
        problems.some((problem) => expected.test(problem)),
        problems.join("\n"),
      );
    });
  }

  test("leaves the length of the pod range to an explicit node-cidr-mask-size", async () => {
    const flags = { "cluster-cidr": "10.42.0.0/25", "kube-controller-manager-arg": "node-cidr-mask-size=26" };
    assert.deepEqual((await load({ flags })).clusterCidr, ["10.42.0.0/25"]);
  });

  test("asks for --node-ip on a machine without any address", async () => {
    const [found, ...more] = await problemsOf({ host: { addresses: {} } });
    assert.match(found ?? "", /^--node-ip must be given: this machine has no default route for IPv4/);
    assert.deepEqual(more, []);
  });
});
