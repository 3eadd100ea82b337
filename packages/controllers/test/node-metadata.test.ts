import assert from "node:assert/strict";
import { test } from "node:test";
import type { KubeClient } from "@k3s/kube-client";
import { createLogger } from "@k3s/log";
import { NodeMetadata } from "../src/index.ts";

test("NodeMetadata adds what is missing, takes away what is unwanted, and leaves the rest alone", async (t) => {
  const labels = { same: "1", old: "1", unwanted: "1", other: "1" };
  const annotations = { "k3s.io/internal-ip": "10.0.0.9", "k3s.io/hostname": "before", other: "1" };
  const node = { metadata: { name: "rack-1", labels, annotations } };
  const patches: unknown[] = [];
  const client = {
    get: () => Promise.resolve({ items: [node], metadata: { resourceVersion: "1" } }),
    patch: (path: string, patch: unknown) => Promise.resolve(void patches.push([path, patch])),
  };
  const metadata = new NodeMetadata({
    name: "node-registration",
    client: () => client as unknown as KubeClient, // sound: the watch that follows may fail, it is begun again
    nodeName: "rack-1",
    labels: { same: "1", old: "2", new: "1" },
    unwantedLabels: ["unwanted", "absent"],
    annotations: { "k3s.io/node-args": "[]" },
    unwantedAnnotations: ["k3s.io/internal-ip", "k3s.io/hostname", "k3s.io/external-ip"],
    log: createLogger({ level: "error", format: "text", write: () => undefined }),
  });
  t.after(() => metadata.stop());
  await metadata.start({ signal: AbortSignal.timeout(60_000), lost: () => assert.fail("lost") });
  const body = {
    metadata: {
      labels: { old: "2", new: "1", unwanted: null },
      annotations: { "k3s.io/node-args": "[]", "k3s.io/internal-ip": null, "k3s.io/hostname": null },
    },
  };
  assert.deepEqual(patches, [["/api/v1/nodes/rack-1", { type: "merge", body }]]);
});
