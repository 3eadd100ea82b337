import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { TestNetwork } from "@k3s/testkit";
import { parseRange, type Family, type Range } from "../src/address.ts";
import type { Backend, Peer } from "../src/lease.ts";
import type { Link } from "../src/netlink/links.ts";
import type { Neighbour } from "../src/netlink/neighbours.ts";
import type { Route } from "../src/netlink/routes.ts";
import { NamespaceProcess } from "./support/namespace-process.ts";

interface Reading {
  readonly links: readonly Link[];
  readonly addresses: readonly { readonly address: string; readonly link: number }[];
  readonly routes: readonly Route[];
  readonly neighbours: readonly Neighbour[];
  readonly forwarding: readonly Neighbour[];
}

/** One of two nodes, by what it has of its own. */
interface Side {
  readonly name: string;
  readonly outside: string;
  readonly subnet: string;
  readonly bridge: string;
  readonly mac: string;
}

const PLANS: Readonly<Record<Family, { readonly cluster: string; readonly left: Side; readonly right: Side }>> = {
  4: {
    cluster: "10.42.0.0/16",
    left: {
      name: "left",
      outside: "10.99.0.11",
      subnet: "10.42.0.0/24",
      bridge: "10.42.0.1",
      mac: "02:00:00:00:00:0a",
    },
    right: {
      name: "right",
      outside: "10.99.0.12",
      subnet: "10.42.1.0/24",
      bridge: "10.42.1.1",
      mac: "02:00:00:00:00:0b",
    },
  },
  6: {
    cluster: "fd00:42::/56",
    left: { name: "left", outside: "fd99::11", subnet: "fd00:42::/64", bridge: "fd00:42::1", mac: "02:00:00:00:00:6a" },
    right: {
      name: "right",
      outside: "fd99::12",
      subnet: "fd00:42:0:1::/64",
      bridge: "fd00:42:0:1::1",
      mac: "02:00:00:00:00:6b",
    },
  },
};

function range(text: string): Range {
  const parsed = parseRange(text);
  assert.ok(parsed);
  return parsed;
}

function peer({ name, subnet, outside, mac }: Side, backend: Backend): Peer {
  return { node: name, subnet: range(subnet), publicIp: outside, mac: backend === "vxlan" ? mac : "" };
}

describe("layOverlay() in two network namespaces", { timeout: 100_000 }, () => {
  const undo = new AsyncDisposableStack();
  let left: NamespaceProcess;
  let right: NamespaceProcess;

  before(async () => {
    const network = undo.use(await TestNetwork.create());
    const start = async (side: "left" | "right") => {
      const namespace = await network.plug(side, PLANS[4][side].outside);
      const process = undo.use(await NamespaceProcess.start(namespace));
      await process.run("ip", "addr", "add", `${PLANS[6][side].outside}/64`, "dev", "eth0", "nodad");
      // In place of the bridge of pods: something that has the first address of the node's range.
      await process.run("ip", "link", "add", "cni0", "type", "bridge");
      await process.run("ip", "link", "set", "cni0", "up");
      await process.run("ip", "addr", "add", `${PLANS[4][side].bridge}/24`, "dev", "cni0");
      await process.run("ip", "addr", "add", `${PLANS[6][side].bridge}/64`, "dev", "cni0", "nodad");
      return process;
    };
    left = await start("left");
    right = await start("right");
  });
  after(() => undo.disposeAsync());

  const lay = (side: "left" | "right", family: Family, { backend = "vxlan", peers }: LayOptions = {}) => {
    const plan = PLANS[family];
    const [own, other] = side === "left" ? [plan.left, plan.right] : [plan.right, plan.left];
    const overlay = {
      family,
      backend,
      cluster: range(plan.cluster),
      subnet: range(own.subnet),
      mac: backend === "vxlan" ? own.mac : "",
      peers: peers ?? [peer(other, backend)],
    };
    const outside = { name: "eth0", address: own.outside };
    return (side === "left" ? left : right).do<string[]>({ do: "lay", overlay, outside });
  };
  const layBoth = async (family: Family, options: LayOptions = {}) => {
    await lay("left", family, options);
    await lay("right", family, options);
  };
  /** Far more than fits in one packet comes from the right to the left, addressed as pods are. */
  const passes = async (family: Family) => {
    const { left: near, right: far } = PLANS[family];
    const port = await right.do<number>({ do: "serve", host: far.bridge, bytes: 100_000 });
    assert.equal(await left.do({ do: "ask", host: far.bridge, port, from: near.bridge }), 100_000);
  };

  for (const family of [4, 6] as const) {
    for (const backend of ["vxlan", "host-gw"] as const) {
      test(`${backend} carries IPv${family} from namespace to namespace`, async () => {
        await layBoth(family, { backend });
        await passes(family);
      });
    }
  }

  test("leaves what an earlier run has laid as it is", async () => {
    await layBoth(4);
    const before = await left.run("ip", "-d", "link", "show", "flannel.1");
    assert.deepEqual(await lay("left", 4), []);
    assert.equal(await left.run("ip", "-d", "link", "show", "flannel.1"), before);
  });

  test("makes the interface as flannel does, as iproute2 sees it", async () => {
    await layBoth(4);
    const [link] = JSON.parse(await left.run("ip", "-j", "-d", "link", "show", "flannel.1")) as [IpLink];
    const { id, port, local, learning, link: lower } = link.linkinfo.info_data;
    assert.deepEqual([link.mtu, link.address, link.flags.includes("UP")], [1450, PLANS[4].left.mac, true]);
    assert.deepEqual([id, port, local, learning, lower], [1, 8472, PLANS[4].left.outside, false, "eth0"]);
    assert.match(await left.run("ip", "addr", "show", "flannel.1"), /inet 10\.42\.0\.0\/32 scope global flannel\.1/);
    assert.match(await left.run("ip", "route"), /^10\.42\.1\.0\/24 via 10\.42\.1\.0 dev flannel\.1 onlink/m);
    assert.match(await left.run("ip", "neigh"), /^10\.42\.1\.0 dev flannel\.1 lladdr 02:00:00:00:00:0b PERMANENT/m);
    assert.match(
      await left.run("bridge", "fdb"),
      /^02:00:00:00:00:0b dev flannel\.1 dst 10\.99\.0\.12 self permanent/m,
    );
  });

  const damages = [
    ["the interface", "ip link delete flannel.1"],
    ["the interface's state", "ip link set flannel.1 down"],
    ["the MTU", "ip link set flannel.1 mtu 1400"],
    ["the interface's own address", "ip link set flannel.1 address 02:00:00:00:00:77"],
    ["the address", "ip addr flush dev flannel.1 scope global"],
    ["a route", "ip route delete 10.42.1.0/24"],
    ["the way of a route", "ip route replace 10.42.1.0/24 via 10.99.0.1"],
    ["a neighbour", "ip neigh delete 10.42.1.0 dev flannel.1"],
    ["the address of a neighbour", "ip neigh replace 10.42.1.0 lladdr 02:00:00:00:00:99 dev flannel.1 nud permanent"],
    ["a forwarding entry", "bridge fdb delete 02:00:00:00:00:0b dev flannel.1"],
    ["the target of a forwarding entry", "bridge fdb replace 02:00:00:00:00:0b dev flannel.1 dst 10.99.0.77"],
  ] as const;
  for (const [what, damage] of damages) {
    test(`mends ${what}`, async () => {
      await layBoth(4);
      await left.run(...damage.split(" "));
      assert.notDeepEqual(await lay("left", 4), []);
      assert.deepEqual(await lay("left", 4), []);
      await passes(4);
    });
  }

  const strangers = [
    ["a route", "ip route add 10.42.9.0/24 via 10.42.9.0 dev flannel.1 onlink", "ip route"],
    ["a neighbour", "ip neigh add 10.42.9.0 lladdr 02:00:00:00:00:99 dev flannel.1 nud permanent", "ip neigh"],
    ["a forwarding entry", "bridge fdb add 02:00:00:00:00:99 dev flannel.1 dst 10.99.0.99", "bridge fdb"],
    ["an address", "ip addr add 10.42.9.0/32 dev flannel.1", "ip addr"],
  ] as const;
  for (const [what, addition, list] of strangers) {
    test(`removes ${what} of a node that is not there`, async () => {
      await layBoth(4);
      await left.run(...addition.split(" "));
      assert.equal((await lay("left", 4)).length, 1);
      assert.doesNotMatch(await left.run(...list.split(" ")), /10\.42\.9\.0|00:99/);
    });
  }

  test("leaves what is not the pod network's alone", async () => {
    await layBoth(4);
    const foreign = ["192.168.7.0/24 via 10.99.0.1", "10.42.200.0/22 via 10.99.0.1"];
    for (const route of foreign) await left.run("ip", "route", "add", ...route.split(" "));
    await left.run(
      "ip",
      "neigh",
      "add",
      "10.99.0.50",
      "lladdr",
      "02:00:00:00:00:50",
      "dev",
      "eth0",
      "nud",
      "permanent",
    );
    assert.deepEqual(await lay("left", 4), []);
    const routes = await left.run("ip", "route");
    for (const route of foreign) assert.ok(routes.includes(route), routes);
    assert.match(await left.run("ip", "neigh"), /10\.99\.0\.50/);
  });

  test("takes away what a node left that is gone", async () => {
    await layBoth(4);
    await lay("left", 4, { peers: [] });
    for (const list of ["ip route", "ip neigh", "bridge fdb"])
      assert.doesNotMatch(await left.run(...list.split(" ")), /10\.42\.1\.0|00:0b/);
  });

  test("follows a node to another address", async () => {
    await layBoth(4);
    await right.run("ip", "addr", "add", "10.99.0.13/24", "dev", "eth0");
    const moved = { ...peer(PLANS[4].right, "vxlan"), publicIp: "10.99.0.13" };
    assert.equal((await lay("left", 4, { peers: [moved] })).length, 2);
    const forwarding = (await left.do<Reading>({ do: "read", family: 4 })).forwarding.filter(
      ({ mac }) => mac === moved.mac,
    );
    assert.deepEqual(
      forwarding.map(({ address }) => address),
      ["10.99.0.13"],
    );
  });

  test("leaves no trace of a backend that is used no more", async () => {
    await layBoth(4);
    await layBoth(4, { backend: "host-gw" });
    assert.doesNotMatch(await left.run("ip", "link"), /flannel\.1:/);
    assert.match(await left.run("ip", "route"), /^10\.42\.1\.0\/24 via 10\.99\.0\.12 dev eth0/m);
    await layBoth(4);
    assert.doesNotMatch(await left.run("ip", "route"), /via 10\.99\.0\.12/);
    await passes(4);
  });

  test("says which step the kernel refuses, and does the others", async () => {
    const unreachable = { node: "elsewhere", subnet: range("10.42.5.0/24"), publicIp: "172.31.0.1", mac: "" };
    const peers = [unreachable, peer(PLANS[4].right, "host-gw")];
    await left.run("ip", "route", "delete", "default");
    await assert.rejects(lay("left", 4, { backend: "host-gw", peers }), /route 10\.42\.5\.0\/24 via 172\.31\.0\.1/);
    await left.run("ip", "route", "add", "default", "via", TestNetwork.gateway);
    assert.match(await left.run("ip", "route"), /^10\.42\.1\.0\/24 via 10\.99\.0\.12/m);
  });
});

interface LayOptions {
  readonly backend?: Backend;
  readonly peers?: readonly Peer[];
}

interface IpLink {
  readonly mtu: number;
  readonly address: string;
  readonly flags: readonly string[];
  readonly linkinfo: {
    readonly info_data: {
      readonly id: number;
      readonly port: number;
      readonly local: string;
      readonly learning: boolean;
      readonly link: string;
    };
  };
}
