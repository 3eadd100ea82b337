import { isDeepStrictEqual } from "node:util";
import { follow, type KubeClient } from "@k3s/kube-client";
import type { Component } from "@k3s/lifecycle";
import type { Logger } from "@k3s/log";
import { announcedAddresses } from "./node-addresses.ts";
import { UNINITIALIZED_TAINT, type Node } from "./node.ts";

const INSTANCE_TYPE = "k3s";
const INSTANCE_TYPE_LABELS = ["node.kubernetes.io/instance-type", "beta.kubernetes.io/instance-type"];

/**
 * The cloud-node part of k3s' cloud controller (spec 11.3): gives each node its addresses, provider id and instance type,
 * then lifts the taint that keeps pods away from a node nobody has initialised.
 */
export class CloudNodeController implements Component {
  readonly name = "cloud-node-controller";
  readonly #client: () => KubeClient;
  readonly #log: Logger;
  readonly #stopping = new AbortController();
  #following: Promise<void> = Promise.resolve();

  constructor(client: () => KubeClient, log: Logger) {
    this.#client = client;
    this.#log = log;
  }

  start(): Promise<void> {
    const client = this.#client();
    const onObject = (node: Node, signal: AbortSignal) => this.#reconcile(client, node, signal);
    this.#following = follow<Node>(client, { path: "/api/v1/nodes", onObject, log: this.#log }, this.#stopping.signal);
    return Promise.resolve();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#following;
  }

  async #reconcile(client: KubeClient, node: Node, signal: AbortSignal): Promise<void> {
    const addresses = announcedAddresses(node);
    if (addresses === undefined) return; // its next change brings the annotation
    const path = `/api/v1/nodes/${node.metadata.name}`;
    if (!isDeepStrictEqual(node.status?.addresses, addresses)) {
      await client.patch(`${path}/status`, { type: "merge", body: { status: { addresses } } }, signal);
    }
    const patch = initialisation(node);
    if (patch === undefined) return;
    await client.patch(path, { type: "merge", body: patch }, signal);
    this.#log.info(
      { node: node.metadata.name, addresses: addresses.map(({ address }) => address) },
      "node initialised",
    );
  }
}

/** The patch that a node still needs, or undefined. Bound to the version seen, since a merge patch replaces all taints. */
function initialisation(node: Node): object | undefined {
  const { metadata, spec } = node;
  const taints = spec.taints ?? [];
  const isTainted = taints.some(({ key }) => key === UNINITIALIZED_TAINT);
  if (!isTainted && spec.providerID !== undefined) return undefined;
  const instanceType = INSTANCE_TYPE_LABELS.map((label) => metadata.labels?.[label]).find(Boolean) ?? INSTANCE_TYPE;
  return {
    metadata: {
      resourceVersion: metadata.resourceVersion,
      labels: Object.fromEntries(INSTANCE_TYPE_LABELS.map((label) => [label, instanceType])),
    },
    spec: {
      ...(spec.providerID === undefined && { providerID: `k3s://${metadata.name}` }),
      ...(isTainted && { taints: taints.filter(({ key }) => key !== UNINITIALIZED_TAINT) }),
    },
  };
}
