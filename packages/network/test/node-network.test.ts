import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { TestNetwork } from "@k3s/testkit";
import type { FamilyLease, NetworkNode } from "../src/lease.ts";
import { leaseAnnotations } from "../src/lease.ts";
import { NamespaceProcess, SEARCH_PATH } from "./support/namespace-process.ts";

interface Brought {
  readonly leases?: Readonly<Partial<Record<"4" | "6", FamilyLease>>>;
  readonly log: readonly string[];
}

const OWN = "10.99.0.11";

function node(name: string, subnet: string, lease?: FamilyLease): NetworkNode {
  const annotations = lease === undefined ? {} : leaseAnnotations("vxlan", { 4: lease });
  const texts = Object.entries(annotations).filter((entry): entry is [string, string] => entry[1] !== null);
  return { metadata: { name, annotations: Object.fromEntries(texts) }, spec: { podCIDR: subnet, podCIDRs: [subnet] } };
}

const other = (publicIp = "10.99.0.12") =>
  node("other", "10.42.1.0/24", { publicIp, mac: "02:00:00:00:00:0b", overwrite: "" });

interface Changes {
  readonly interfaceName?: string;
  readonly nodeIps?: readonly string[];
  readonly clusterCidrs?: readonly string[];
}

async function start(t: TestContext, changes: Changes = {}) {
  const undo = new AsyncDisposableStack();
  t.after(() => undo.disposeAsync());
  const folder = await mkdtemp(join(tmpdir(), "k3s-network-"));
  undo.defer(() => rm(folder, { recursive: true }));
  const network = undo.use(await TestNetwork.create());
  const process = undo.use(await NamespaceProcess.start(await network.plug("own", OWN)));
  const subnetFile = join(folder, "flannel/subnet.env");
  const options = {
    nodeName: "own",
    backend: "vxlan" as const,
    clusterCidrs: changes.clusterCidrs ?? ["10.42.0.0/16"],
    nodeIps: changes.nodeIps ?? [OWN],
    externalIps: [],
    interfaceName: changes.interfaceName,
    subnetFile,
    path: SEARCH_PATH,
  };
  const restart = () => process.do({ do: "network", options });
  await restart();
  const bring = (...nodes: readonly NetworkNode[]) => process.do<Brought>({ do: "bring", nodes });
  return { process, bring, restart, subnetFile };
}

describe("NodeNetwork", () => {
  test("waits while the node has no range", async (t) => {
    const { bring, process } = await start(t);
    const bare: NetworkNode = { metadata: { name: "own" }, spec: {} };
    assert.deepEqual(await bring(bare, other()), { log: [] });
    assert.doesNotMatch(await process.run("ip", "link"), /flannel/);
  });

  test("lays file, interface, routes and rules, and says what others have to know", async (t) => {
    const { bring, process, subnetFile } = await start(t);
    const { leases } = await bring(node("own", "10.42.0.0/24"), other());
    assert.match(leases?.["4"]?.mac ?? "", /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/);
    assert.equal(leases?.["4"]?.publicIp, OWN);
    assert.equal(
      await readFile(subnetFile, "utf8"),
      "FLANNEL_NETWORK=10.42.0.0/16\nFLANNEL_SUBNET=10.42.0.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n",
    );
    assert.match(await process.run("ip", "route"), /^10\.42\.1\.0\/24 via 10\.42\.1\.0 dev flannel\.1 onlink/m);
    const nat = await process.run("iptables", "-t", "nat", "-S");
    assert.match(nat, /^-A POSTROUTING .*-j FLANNEL-POSTRTG$/m);
    assert.deepEqual(
      nat.match(/(?<=^-A FLANNEL-POSTRTG ).*?(?= -m comment)|(?<=-j )(RETURN|MASQUERADE --random-fully)$/gm),
      [
        ...["-m mark --mark 0x4000/0x4000", "RETURN"],
        ...["-s 10.42.0.0/24 -d 10.42.0.0/16", "RETURN"],
        ...["-s 10.42.0.0/16 -d 10.42.0.0/24", "RETURN"],
        ...["! -s 10.42.0.0/16 -d 10.42.0.0/24", "RETURN"],
        ...["-s 10.42.0.0/16 ! -d 224.0.0.0/4", "MASQUERADE --random-fully"],
        ...["! -s 10.42.0.0/16 -d 10.42.0.0/16", "MASQUERADE --random-fully"],
      ],
    );
    const filter = await process.run("iptables", "-S");
    assert.match(filter, /^-A FORWARD .*-j FLANNEL-FWD$/m);
    assert.equal(filter.match(/^-A FLANNEL-FWD -[sd] 10\.42\.0\.0\/16 .*-j ACCEPT$/gm)?.length, 2);
  });

  test("says nothing and does nothing when all is well, also after a restart", async (t) => {
    const { bring, restart, process } = await start(t);
    const first = await bring(node("own", "10.42.0.0/24"), other());
    const link = await process.run("ip", "-d", "link", "show", "flannel.1");
    assert.deepEqual(await bring(node("own", "10.42.0.0/24"), other()), { leases: first.leases, log: [] });
    await restart();
    const again = await bring(node("own", "10.42.0.0/24", first.leases?.["4"]), other());
    assert.deepEqual(again, { leases: first.leases, log: [] });
    assert.equal(await process.run("ip", "-d", "link", "show", "flannel.1"), link);
  });

  test("takes the interface's address from what it told the others before the machine was restarted", async (t) => {
    const { bring, process } = await start(t);
    const lease = { publicIp: OWN, mac: "02:12:34:56:78:9a", overwrite: "" };
    await bring(node("own", "10.42.0.0/24", lease));
    assert.match(await process.run("ip", "link", "show", "flannel.1"), /02:12:34:56:78:9a/);
  });

  const removals = [
    ["the interface", "ip link delete flannel.1"],
    ["the rules", "iptables -t nat -F FLANNEL-POSTRTG"],
    ["one rule", "iptables -D FLANNEL-FWD 1"],
    ["what leads to the rules", "iptables -t nat -F POSTROUTING"],
  ] as const;
  for (const [what, command] of removals) {
    test(`brings ${what} back, and says so once`, async (t) => {
      const { bring, process } = await start(t);
      const nodes = [node("own", "10.42.0.0/24"), other()];
      await bring(...nodes);
      const state = async () => [
        (await process.run("iptables", "-t", "nat", "-S")).split("\n").sort(),
        await process.run("iptables", "-S"),
        await process.run("ip", "route"),
      ];
      const before = await state();
      await process.run(...command.split(" "));
      assert.equal((await bring(...nodes)).log.length, 1);
      assert.deepEqual(await state(), before);
      assert.deepEqual((await bring(...nodes)).log, []);
    });
  }

  test("tells a node that comes from a network that somebody broke", async (t) => {
    const { bring, process } = await start(t);
    await bring(node("own", "10.42.0.0/24"));
    const [joined] = (await bring(node("own", "10.42.0.0/24"), other())).log;
    assert.match(joined ?? "", /pod network follows the cluster/);
    await process.run("ip", "route", "delete", "10.42.1.0/24");
    const [mended] = (await bring(node("own", "10.42.0.0/24"), other())).log;
    assert.match(mended ?? "", /somebody changed the pod network, it is mended/);
    assert.match(mended ?? "", /route 10\.42\.1\.0\/24/);
  });

  test("gives pods addresses on a node that cannot reach others, and says why once", async (t) => {
    const { bring, subnetFile } = await start(t, { interfaceName: "eth7" });
    const { leases, log } = await bring(node("own", "10.42.0.0/24"), other());
    assert.deepEqual(leases, {});
    assert.equal(log.filter((line) => line.includes('no interface \\"eth7\\"')).length, 1);
    assert.match(await readFile(subnetFile, "utf8"), /^FLANNEL_SUBNET=10\.42\.0\.1\/24$/m);
    assert.deepEqual((await bring(node("own", "10.42.0.0/24"), other())).log, []);
  });

  test("serves both families where the cluster has both", async (t) => {
    const changes = { clusterCidrs: ["10.42.0.0/16", "fd00:42::/56"], nodeIps: [OWN, "fd99::11"] };
    const { bring, process, subnetFile } = await start(t, changes);
    await process.run("ip", "addr", "add", "fd99::11/64", "dev", "eth0", "nodad");
    const dual = { metadata: { name: "own" }, spec: { podCIDRs: ["10.42.0.0/24", "fd00:42::/64"] } };
    const { leases, log } = await bring(dual);
    assert.deepEqual([leases?.["4"]?.publicIp, leases?.["6"]?.publicIp], [OWN, "fd99::11"]);
    assert.notEqual(leases?.["4"]?.mac, leases?.["6"]?.mac);
    // What a packet of the larger overhead leaves.
    assert.match(await readFile(subnetFile, "utf8"), /^FLANNEL_IPV6_SUBNET=fd00:42::1\/64\nFLANNEL_MTU=1430$/m);
    assert.match(await process.run("ip", "-6", "addr", "show", "flannel-v6.1"), /inet6 fd00:42::\/128 scope global/);
    assert.match(
      await process.run("ip6tables", "-t", "nat", "-S"),
      /-A FLANNEL-POSTRTG -s fd00:42::\/56 ! -d ff00::\/8 /,
    );
    assert.equal(log.length, 5, log.join("\n"));
    assert.deepEqual((await bring(dual)).log, []);
  });
});
