import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeClusterConfig } from "@k3s/cluster-config";
import { clusterFacts } from "../src/cluster-facts.ts";
import { controlPlaneOptions } from "../src/control-plane-part.ts";
import type { ServerParts } from "../src/server-parts.ts";
import { loadConfig } from "./support/load-config.ts";

const flags = {
  server: "https://10.0.0.1:6443",
  "datastore-endpoint": "mysql://u@tcp(127.0.0.1:3306)/k3s",
  v: "4",
  vmodule: "proxier=6",
  "kube-apiserver-arg": "max-requests-inflight=500",
};

test("clusterFacts() says where this server joined and how much is logged, beside the user's own arguments", async () => {
  const config = await loadConfig(flags);
  const document = JSON.parse(encodeClusterConfig(clusterFacts(config, ""))) as Record<string, unknown>;
  const { JoinURL, VLevel, VModule, ExtraAPIArgs, ExtraControllerArgs, ExtraSchedulerArgs } = document;
  assert.deepEqual([JoinURL, VLevel, VModule], ["https://10.0.0.1:6443", 4, "proxier=6"]);
  assert.deepEqual(ExtraAPIArgs, ["max-requests-inflight=500"]);
  assert.deepEqual([ExtraControllerArgs, ExtraSchedulerArgs], [null, null]);
});

test("controlPlaneOptions() tells the programs how much to log, beside the user's own arguments", async () => {
  const versions = { kubernetes: { text: "v1.34.1" } };
  // Sound: the rest is passed on as it is.
  const parts = { config: await loadConfig(flags), set: { versions }, datastore: {} } as unknown as ServerParts;
  const { verbosity, vmodule, apiserverArgs, schedulerArgs } = controlPlaneOptions(parts);
  assert.deepEqual([verbosity, vmodule], [4, "proxier=6"]);
  assert.deepEqual([apiserverArgs, schedulerArgs], [["max-requests-inflight=500"], []]);
});
