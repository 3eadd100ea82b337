import type { KubeClient } from "@k3s/kube-client";
import { follow } from "@k3s/kube-client";
import type { Logger } from "@k3s/log";
import { fingerprint, type NetworkNode } from "./lease.ts";

interface NodeViewOptions {
  readonly log: Logger;
  /** Told when something that concerns the pod network has changed. */
  readonly onChange: () => void;
}

/** The cluster's nodes as they were last heard of. Also when the API is away for long, none is forgotten that was not seen to go. */
export class NodeView {
  readonly #options: NodeViewOptions;
  #nodes = new Map<string, NetworkNode>();

  constructor(options: NodeViewOptions) {
    this.#options = options;
  }

  /** By name; empty before the first list. */
  get nodes(): ReadonlyMap<string, NetworkNode> {
    return this.#nodes;
  }

  /** Keeps the view fresh for as long as `signal` allows. Never rejects. */
  async follow(client: KubeClient, signal: AbortSignal): Promise<void> {
    const { log, onChange } = this.#options;
    await follow<NetworkNode>(
      client,
      {
        path: "/api/v1/nodes",
        onListed: (nodes) => this.#replace(nodes),
        onObject: (node) => {
          this.#set(node);
          return Promise.resolve();
        },
        onDeleted: ({ metadata: { name } }) => {
          if (this.#nodes.delete(name)) onChange();
        },
        log,
      },
      signal,
    );
  }

  #replace(nodes: readonly NetworkNode[]): void {
    this.#nodes = new Map(nodes.map((node) => [node.metadata.name, node]));
    this.#options.onChange();
  }

  #set(node: NetworkNode): void {
    const { name } = node.metadata;
    const known = this.#nodes.get(name);
    this.#nodes.set(name, node);
    if (known === undefined || fingerprint(known) !== fingerprint(node)) this.#options.onChange();
  }
}
