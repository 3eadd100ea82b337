import assert from "node:assert/strict";
import { hostname, networkInterfaces } from "node:os";
import { describe, test } from "node:test";
import { chooseAddress, defaultInterfaceIPv4, defaultInterfaceIPv6, readHostFacts } from "../src/host-facts.ts";

const HEADER = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT";

describe("defaultInterfaceIPv4()", () => {
  test("takes the default route with the lowest metric that is up", () => {
    const table = [
      HEADER,
      "eth0\t000A0A0A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0",
      "eth2\t00000000\t0100000A\t0002\t0\t0\t1\t00000000\t0\t0\t0",
      "eth1\t00000000\t0100000A\t0003\t0\t0\t200\t00000000\t0\t0\t0",
      "eth0\t00000000\t0100000A\t0003\t0\t0\t100\t00000000\t0\t0\t0",
    ].join("\n");
    assert.equal(defaultInterfaceIPv4(table), "eth0");
    assert.equal(defaultInterfaceIPv4(HEADER), undefined);
  });
});

describe("defaultInterfaceIPv6()", () => {
  test("skips the kernel's reject route and link routes", () => {
    const zero = "0".repeat(32);
    const table = [
      `fe80${"0".repeat(28)} 40 ${zero} 00 ${zero} 00000100 00000001 00000000 00000001     eth0`,
      `${zero} 00 ${zero} 00 ${zero} ffffffff 00000001 00000000 00200200       lo`,
      `${zero} 00 ${zero} 00 ${zero} 00000001 00000001 00000000 00000201     eth9`,
      `${zero} 00 ${zero} 00 fe80${"0".repeat(27)}1 00000400 00000001 00000000 00000003     eth3`,
    ].join("\n");
    assert.equal(defaultInterfaceIPv6(table), "eth3");
  });
});

describe("chooseAddress()", () => {
  const entry = (name: string, address: string) => ({ name, address, family: address.includes(":") ? 6 : 4 }) as const;

  test("takes the first usable address of the interface of the default route", () => {
    const interfaces = [entry("eth1", "10.1.0.1"), entry("eth0", "169.254.1.1"), entry("eth0", "10.0.0.1")];
    assert.equal(chooseAddress(interfaces, 4, "eth0"), "10.0.0.1");
    assert.equal(chooseAddress([entry("eth0", "fe80::1"), entry("eth0", "fd00::1")], 6, "eth0"), "fd00::1");
  });

  test("without a default route takes the only interface that is no pod network's", () => {
    const pods = [entry("lo", "127.0.0.1"), entry("cni0", "10.42.0.1"), entry("flannel.1", "10.42.0.0")];
    assert.equal(chooseAddress([...pods, entry("eth0", "10.0.0.1")], 4, undefined), "10.0.0.1");
    assert.equal(chooseAddress(pods, 4, undefined), undefined);
    assert.equal(chooseAddress([entry("eth0", "10.0.0.1"), entry("eth1", "10.1.0.1")], 4, undefined), undefined);
  });
});

describe("readHostFacts()", () => {
  test("tells of this machine", async () => {
    const facts = await readHostFacts();
    assert.equal(facts.hostname, hostname());
    assert.equal(facts.groups.get("root"), 0);
    const all = Object.values(networkInterfaces()).flatMap((addresses = []) => addresses.map(({ address }) => address));
    assert.deepEqual([...facts.everyAddress].sort(), all.sort());
    for (const address of Object.values(facts.addresses)) assert.ok(facts.everyAddress.includes(address));
  });
});
