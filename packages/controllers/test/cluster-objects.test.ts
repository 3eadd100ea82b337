import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { describe, test } from "node:test";
import type { KubeClient } from "@k3s/kube-client";
import { createLogger } from "@k3s/log";
import { ClusterObjects } from "../src/index.ts";

interface Rule {
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
}

interface Applied {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly rules?: readonly Rule[];
}

const KINDS = ["ClusterRole", "ClusterRoleBinding", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"];

/** What the release's own manifests make of a cluster, in order. */
async function appliedTo(kubernetesMinor: number): Promise<readonly Applied[]> {
  const applied: Applied[] = [];
  const client = {
    get: () => Promise.resolve({ resources: KINDS.map((kind) => ({ name: kind, kind, namespaced: false })) }),
    create: () => Promise.resolve({}),
    patch: (_path: string, { body }: { readonly body: Applied }) => Promise.resolve(void applied.push(body)),
  };
  const objects = new ClusterObjects({
    client: () => client as unknown as KubeClient, // sound: nothing else of the client is used
    readManifest: (name) => readFile(new URL(`../../../manifests/${name}`, import.meta.url), "utf8"),
    kubernetesMinor,
    clusterDns: ["10.43.0.10"],
    clusterDomain: "cluster.local",
    log: createLogger({ level: "error", format: "text", write: () => undefined }),
  });
  await objects.start({ signal: AbortSignal.timeout(60_000), lost: () => undefined });
  return applied;
}

const writesNodes = ({ rules = [] }: Applied) =>
  rules.some(
    ({ resources, verbs }) =>
      resources.some((resource) => resource.startsWith("nodes")) &&
      verbs.some((verb) => !["get", "list", "watch"].includes(verb)),
  );

describe("ClusterObjects", () => {
  test("where kubelets read all nodes, the user that all agents share writes none", async () => {
    for (const minor of [20, 30]) {
      const applied = await appliedTo(minor);
      assert.ok(applied.some(({ metadata }) => metadata.name === "system:k3s-controller"));
      assert.deepEqual(applied.filter(writesNodes), []);
    }
  });

  test("elsewhere it may, once a policy keeps it to what flannel writes", async () => {
    const applied = await appliedTo(31);
    const order = applied.filter((one) => one.kind.startsWith("Validating") || writesNodes(one));
    assert.deepEqual(
      order.map(({ kind, metadata }) => [kind, metadata.name]),
      [
        ["ValidatingAdmissionPolicy", "k3s-controller-node-annotations"],
        ["ValidatingAdmissionPolicyBinding", "k3s-controller-node-annotations"],
        ["ClusterRole", "system:k3s-controller:flannel"],
      ],
    );
  });
});
