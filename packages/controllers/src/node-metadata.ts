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
  /** Annotations that are taken away when they are there. */
  readonly unwantedAnnotations?: readonly string[];
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
    const { unwantedLabels, unwantedAnnotations } = this.#options;
    const labels = changes(node.metadata.labels, this.#options.labels, unwantedLabels);
    const annotations = changes(node.metadata.annotations, this.#options.annotations, unwantedAnnotations);
    if (Object.keys(labels).length + Object.keys(annotations).length === 0) return;
    const body = { metadata: { labels, annotations } };
    await client.patch(`/api/v1/nodes/${node.metadata.name}`, { type: "merge", body }, signal);
  }
}

/** What a JSON merge patch (RFC 7396) has to say; null takes away. */
function changes(
  present: Pairs = {},
  wanted: Pairs,
  unwanted: readonly string[] = [],
): Readonly<Record<string, string | null>> {
  return {
    ...Object.fromEntries(Object.entries(wanted).filter(([key, value]) => present[key] !== value)),
    ...Object.fromEntries(unwanted.filter((key) => key in present).map((key) => [key, null])),
  };
}
