import assert from "node:assert/strict";
import { test } from "node:test";
import { loadAgentConfig, readHostFacts } from "@k3s/config";
import type { ComponentSet } from "@k3s/components";
import { createLogger } from "@k3s/log";
import type { NodeSettings } from "@k3s/node-runtime";
import { nodeOptions } from "../src/node-options.ts";
import type { NodeParts } from "../src/node-parts.ts";

test("nodeOptions() tells containerd where the pod network is configured, unless that is the user's, and the programs how much to say", async () => {
  const env = { K3S_URL: "https://10.0.0.1:6443", K3S_TOKEN: "x", K3S_CONFIG_FILE: "/dev/null" };
  const host = { ...(await readHostFacts()), addresses: { 4: "10.0.0.2" } };
  const config = await loadAgentConfig({
    flags: new Map([
      ["data-dir", ["/data"]],
      ["v", ["4"]],
      ["vmodule", ["a=5"]],
    ]),
    unknownFlags: [],
    env,
    host,
    signal: AbortSignal.timeout(10_000),
  });
  const log = createLogger({ level: "error", format: "text", write: () => undefined });
  const optionsWith = (flannelBackend: string) => {
    const cluster = { flannelBackend, clusterCidr: ["10.42.0.0/16"], clusterDns: [], clusterDomain: "cluster.local" };
    // Sound: the rest is passed on as it is.
    const parts = { config, cluster, env: {}, host: { log }, set: {} as ComponentSet } as unknown as NodeParts;
    return nodeOptions(parts, {} as NodeSettings);
  };
  const confDirWith = (flannelBackend: string) => optionsWith(flannelBackend).cniConfDirectory;
  assert.equal(confDirWith("vxlan"), "/data/agent/etc/cni/net.d");
  assert.equal(confDirWith("host-gw"), "/data/agent/etc/cni/net.d");
  assert.equal(confDirWith("none"), undefined);
  const { verbosity, vmodule, kubeletArgs } = optionsWith("vxlan");
  assert.deepEqual({ verbosity, vmodule, kubeletArgs }, { verbosity: 4, vmodule: "a=5", kubeletArgs: [] });
});
