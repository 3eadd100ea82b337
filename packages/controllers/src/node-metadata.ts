import { aborted } from "@k3s/async";
import { follow, type KubeClient } from "@k3s/kube-client";
import type { Component, StartContext } from "@k3s/lifecycle";
import type { Logger } from "@k3s/log";
import type { Node } from "./node.ts";

type Pairs = Readonly<Record<string, string>>;

/** What a Node object is to carry, and who writes it. */
export interface NodeMetadataOptions {
  readonly name: string;
  /** Whose identity writes: NodeRestriction lets a kubelet set its annotations, but not role labels. */
  readonly client: () => KubeClient;
  readonly nodeName: string;
  readonly labels: Pairs;
  /** Labels that are taken away when they are there. */
  readonly unwantedLabels?: readonly string[];
  readonly annotations: Pairs;
  readonly log: Logger;
}

/** Keeps labels and annotations on this machine's Node object, from its registration on and through its deletion. */
export class NodeMetadata implements Component {
  readonly name: string;
  readonly #options: NodeMetadataOptions;
  readonly #stopping = new AbortController();
  #following: Promise<void> = Promise.resolve();

  constructor(options: NodeMetadataOptions) {
    this.name = options.name;
    this.#options = options;
  }

  /** Resolves once the Node object exists and carries everything. */
  async start({ signal }: StartContext): Promise<void> {
    const client = this.#options.client();
    const written = Promise.withResolvers<void>();
    const onObject = async (node: Node, inner: AbortSignal) => {
      await this.#reconcile(client, node, inner);
      written.resolve();
    };
    const path = `/api/v1/nodes?fieldSelector=${encodeURIComponent(`metadata.name=${this.#options.nodeName}`)}`;
    this.#following = follow<Node>(client, { path, onObject, log: this.#options.log }, this.#stopping.signal);
    await Promise.race([written.promise, aborted(signal)]);
    signal.throwIfAborted();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#following;
  }

  async #reconcile(client: KubeClient, node: Node, signal: AbortSignal): Promise<void> {
    const present = node.metadata.labels ?? {};
    const unwanted = (this.#options.unwantedLabels ?? []).filter((label) => label in present);
    // Null takes away: JSON merge patch (RFC 7396).
    const labels: Record<string, string | null> = {
      ...missing(this.#options.labels, present),
      ...Object.fromEntries(unwanted.map((label) => [label, null])),
    };
    const annotations = missing(this.#options.annotations, node.metadata.annotations);
    if (Object.keys(labels).length + Object.keys(annotations).length === 0) return;
    const body = { metadata: { labels, annotations } };
    await client.patch(`/api/v1/nodes/${node.metadata.name}`, { type: "merge", body }, signal);
  }
}

function missing(wanted: Pairs, present: Pairs = {}): Record<string, string> {
  return Object.fromEntries(Object.entries(wanted).filter(([key, value]) => present[key] !== value));
}
