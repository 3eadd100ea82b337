import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { ComponentSet } from "@k3s/components";
import { childEnvironment } from "../src/child-environment.ts";
import type { ClusterNetwork } from "../src/node-parts.ts";

/** As much of a configuration and of a component set as the environment depends on. */
const config = { nodeName: "edge-1", preferBundledBin: false };
const cluster: ClusterNetwork = {
  clusterDomain: "cluster.local",
  clusterCidr: ["10.42.0.0/16"],
  serviceCidr: ["10.43.0.0/16"],
  clusterDns: ["10.43.0.10"],
  flannelBackend: "vxlan",
  flannelExternalIp: false,
  egressSelectorMode: "agent",
  disableKubeProxy: false,
  disableCloudController: false,
  disableServiceLb: false,
};
const set = { binDir: "/set/bin", cniBinDir: "/data/cni" } as unknown as ComponentSet;

describe("childEnvironment()", () => {
  test("hands no secret and nothing that is meant for us to a child", () => {
    const inherited = {
      K3S_TOKEN: "hunter2",
      K3S_DATASTORE_ENDPOINT: "mysql://u:p@tcp(db)/k",
      AWS_SECRET_ACCESS_KEY: "hunter3",
      NOTIFY_SOCKET: "/run/notify",
      WATCHDOG_USEC: "1",
      INVOCATION_ID: "x",
      NODE_OPTIONS: "--inspect",
      MALLOC_ARENA_MAX: "1",
      LANG: "C",
    };
    const env = childEnvironment({ config, cluster, set, inherited });
    assert.deepEqual(Object.keys(env).sort(), ["LANG", "NODE_NAME", "NO_PROXY", "PATH", "RES_OPTIONS"]);
  });

  test("puts our programs before those of the machine, and our host tools after them", () => {
    assert.equal(
      childEnvironment({ config, cluster, set, inherited: { PATH: "/usr/bin:/bin" } })["PATH"],
      "/data/cni:/set/bin:/usr/bin:/bin:/set/bin/aux",
    );
    const preferred = childEnvironment({
      config: { ...config, preferBundledBin: true },
      cluster,
      set,
      inherited: { PATH: "/usr/bin" },
    });
    assert.equal(preferred["PATH"], "/data/cni:/set/bin:/set/bin/aux:/usr/bin");
  });

  test("keeps cluster traffic off the proxy, in one variable, beside what the operator named", () => {
    const env = childEnvironment({
      config,
      cluster,
      set,
      inherited: {
        HTTPS_PROXY: "http://proxy:3128",
        no_proxy: "intranet",
        NO_PROXY: "localhost",
      },
    });
    assert.equal(env["NO_PROXY"], "localhost,intranet,.svc,.cluster.local,10.42.0.0/16,10.43.0.0/16");
    assert.deepEqual([env["no_proxy"], env["HTTPS_PROXY"]], [undefined, "http://proxy:3128"]);
  });

  test("keeps a resolver option of the operator", () => {
    assert.equal(
      childEnvironment({ config, cluster, set, inherited: { RES_OPTIONS: "ndots:2" } })["RES_OPTIONS"],
      "ndots:2",
    );
    assert.equal(childEnvironment({ config, cluster, set, inherited: {} })["RES_OPTIONS"], " ");
  });
});
