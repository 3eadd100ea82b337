import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { TestNetwork, until } from "@k3s/testkit";
import type { NetworkNode } from "../src/lease.ts";
import { NamespaceProcess, SEARCH_PATH } from "./support/namespace-process.ts";

interface Api {
  readonly nodes: readonly NetworkNode[];
  readonly listers: readonly string[];
  readonly patched: readonly string[];
}

const PREFIX = "flannel.alpha.coreos.com/";

function node(name: string, subnet?: string, annotations: Readonly<Record<string, string>> = {}): NetworkNode {
  return { metadata: { name, annotations }, spec: subnet === undefined ? {} : { podCIDR: subnet } };
}

function member(name: string, subnet: string, publicIp: string): NetworkNode {
  const mac = `02:00:00:00:00:${publicIp.slice(-2)}`;
  return node(name, subnet, {
    [`${PREFIX}backend-type`]: "vxlan",
    [`${PREFIX}backend-data`]: JSON.stringify({ VNI: 1, VtepMAC: mac }),
    [`${PREFIX}kube-subnet-manager`]: "true",
    [`${PREFIX}public-ip`]: publicIp,
  });
}

interface Changes {
  readonly externalIps?: readonly string[];
  /** Whether the kubelet may list nodes. */
  readonly mayList?: boolean;
}

async function start(
  t: TestContext,
  nodes: readonly NetworkNode[],
  { externalIps = [], mayList = true }: Changes = {},
) {
  const undo = new AsyncDisposableStack();
  t.after(() => undo.disposeAsync());
  const folder = await mkdtemp(join(tmpdir(), "k3s-network-"));
  undo.defer(() => rm(folder, { recursive: true }));
  const network = undo.use(await TestNetwork.create());
  const process = undo.use(await NamespaceProcess.start(await network.plug("own", "10.99.0.11")));
  const subnetFile = join(folder, "subnet.env");
  const options = {
    ...{ nodeName: "own", backend: "vxlan" as const, clusterCidrs: ["10.42.0.0/16"], nodeIps: ["10.99.0.11"] },
    ...{ externalIps, interfaceName: undefined, subnetFile, path: SEARCH_PATH },
  };
  const started = process.do({ do: "start", options, nodes, mayList });
  const routes = () => process.run("ip", "route");
  const untilRoute = (what: string, pattern: RegExp, isThere = true) =>
    until(what, async () => pattern.test(await routes()) === isThere);
  const own = async () => (await process.do<Api>({ do: "api" })).nodes.find(({ metadata }) => metadata.name === "own");
  return { process, started, subnetFile, untilRoute, routes, own };
}

describe("PodNetwork", () => {
  test("makes the node a member, on its status, when it has its range", async (t) => {
    const { process, started, subnetFile, own } = await start(t, [member("own", "10.42.0.0/24", "192.0.2.99")]);
    await started;
    assert.match(await readFile(subnetFile, "utf8"), /^FLANNEL_SUBNET=10\.42\.0\.1\/24$/m);
    await until("the node has told of itself", async () => {
      return (await own())?.metadata.annotations?.[`${PREFIX}public-ip`] === "10.99.0.11";
    });
    assert.deepEqual((await own())?.metadata.annotations, {
      [`${PREFIX}backend-type`]: "vxlan",
      [`${PREFIX}backend-data`]: '{"VNI":1,"VtepMAC":"02:00:00:00:00:99"}', // as it was
      [`${PREFIX}kube-subnet-manager`]: "true",
      [`${PREFIX}public-ip`]: "10.99.0.11",
    });
    const { patched } = await process.do<Api>({ do: "api" });
    assert.deepEqual([...new Set(patched)], ["/api/v1/nodes/own/status"]);
  });

  test("waits for the node's range", async (t) => {
    const { process, started, subnetFile } = await start(t, [node("own")]);
    await process.do({ do: "set", node: node("own", "10.42.4.0/24") });
    await started;
    assert.match(await readFile(subnetFile, "utf8"), /^FLANNEL_SUBNET=10\.42\.4\.1\/24$/m);
  });
});

describe("PodNetwork, among other nodes,", () => {
  const here = node("own", "10.42.0.0/24");
  const there = member("peer", "10.42.1.0/24", "10.99.0.12");

  test("follows one that comes, changes its address and goes", async (t) => {
    const { process, started, untilRoute } = await start(t, [here]);
    await started;
    await process.do({ do: "set", node: there });
    await untilRoute("there is a route", /^10\.42\.1\.0\/24 via 10\.42\.1\.0/m);
    const moved = { ...there.metadata.annotations, [`${PREFIX}public-ip`]: "10.99.0.13" };
    await process.do({ do: "set", node: node("peer", "10.42.1.0/24", moved) });
    await until("frames go to its new address", async () =>
      (await process.run("bridge", "fdb")).includes("10.99.0.13"),
    );
    assert.doesNotMatch(await process.run("bridge", "fdb"), /10\.99\.0\.12/);
    await process.do({ do: "delete", name: "peer", unseen: false });
    await untilRoute("the route is gone", /10\.42\.1\.0/, false);
  });

  test("notices one that went while nobody watched", async (t) => {
    const { process, started, untilRoute } = await start(t, [here, there]);
    await started;
    await untilRoute("there is a route", /^10\.42\.1\.0\/24/m);
    await process.do({ do: "delete", name: "peer", unseen: true });
    await untilRoute("the route is gone", /10\.42\.1\.0/, false);
  });

  test("brings back what somebody removes, without being told", async (t) => {
    const { process, started, untilRoute } = await start(t, [here, there]);
    await started;
    // The first time it may look because of what it has just published; the second time there is no reason but the time.
    for (const _ of ["first", "second"]) {
      await untilRoute("the route is there", /^10\.42\.1\.0\/24/m);
      await process.run("ip", "link", "delete", "flannel.1");
    }
    await untilRoute("the route is back", /^10\.42\.1\.0\/24/m);
  });

  test("publishes again what somebody took off the node", async (t) => {
    const { process, started, own } = await start(t, [here]);
    await started;
    await process.do({ do: "set", node: here });
    await until(
      "it is there again",
      async () => (await own())?.metadata.annotations?.[`${PREFIX}public-ip`] === "10.99.0.11",
    );
  });

  test("reads nodes as controller where the kubelet may not", async (t) => {
    const { process, started, untilRoute } = await start(t, [here, there], { mayList: false });
    await started;
    await untilRoute("there is a route", /^10\.42\.1\.0\/24/m);
    assert.deepEqual([...new Set((await process.do<Api>({ do: "api" })).listers)], ["controller"]);
  });

  test("names the external address where the cluster's nodes use those", async (t) => {
    const { started, own } = await start(t, [here], { externalIps: ["192.0.2.7"] });
    await started;
    await until("it is there", async () => (await own())?.metadata.annotations?.[`${PREFIX}public-ip`] === "192.0.2.7");
    assert.equal((await own())?.metadata.annotations?.[`${PREFIX}public-ip-overwrite`], "192.0.2.7");
  });

  test("leaves the network in place when it stops", async (t) => {
    const { process, started, untilRoute, routes } = await start(t, [here, there]);
    await started;
    await untilRoute("there is a route", /^10\.42\.1\.0\/24/m);
    await process.do({ do: "stop" });
    await process.do({ do: "delete", name: "peer", unseen: false });
    assert.match(await routes(), /^10\.42\.1\.0\/24/m);
  });
});
