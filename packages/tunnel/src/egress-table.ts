import type { EgressKnowledge, EgressNode } from "./decide-egress.ts";

/** A node as its object says. */
export interface NodeEntry extends EgressNode {
  /** InternalIP and ExternalIP. */
  readonly addresses: readonly string[];
}

/** A pod that has addresses of its own. */
export interface PodEntry {
  readonly uid: string;
  readonly nodeName: string;
  readonly addresses: readonly string[];
}

/** What watches of nodes and pods have told, by address. */
export class EgressTable implements EgressKnowledge {
  readonly #nodes = new Map<string, NodeEntry>();
  readonly #nodeNames = new Map<string, string>();
  readonly #pods = new Map<string, PodEntry>();

  /** A node was added or has changed. */
  setNode(node: NodeEntry): void {
    this.removeNode(node.name);
    this.#nodes.set(node.name, node);
    for (const address of node.addresses) this.#nodeNames.set(address, node.name);
  }

  removeNode(name: string): void {
    for (const address of this.#nodes.get(name)?.addresses ?? [])
      if (this.#nodeNames.get(address) === name) this.#nodeNames.delete(address);
    this.#nodes.delete(name);
  }

  /** A pod was added or has changed; pods of the host's network and pods that are done do not belong here. */
  setPod(pod: PodEntry): void {
    for (const address of pod.addresses) this.#pods.set(address, pod);
  }

  /** Addresses that another pod has got meanwhile stay. */
  removePod(pod: PodEntry): void {
    for (const address of pod.addresses) if (this.#pods.get(address)?.uid === pod.uid) this.#pods.delete(address);
  }

  nodeByAddress(ip: string): EgressNode | undefined {
    return this.#nodes.get(this.#nodeNames.get(ip) ?? "");
  }

  nodeByPodAddress(ip: string): EgressNode | undefined {
    return this.#nodes.get(this.#pods.get(ip)?.nodeName ?? "");
  }
}
