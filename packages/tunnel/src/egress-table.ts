import { AddressClaims, type Claimant } from "./address-claims.ts";
import type { EgressKnowledge, EgressNode } from "./decide-egress.ts";

/** A node as its object says. */
export interface NodeEntry extends EgressNode {
  /** InternalIP and ExternalIP, as far as a node can have them. */
  readonly addresses: readonly string[];
  /** When its object was made, RFC 3339. */
  readonly createdAt: string;
  /** It carries the label of the control plane, which no kubelet can give itself. */
  readonly isServer: boolean;
}

/** A pod that has addresses of its own. */
export interface PodEntry {
  readonly uid: string;
  readonly nodeName: string;
  readonly addresses: readonly string[];
  /** When its object was made, RFC 3339. */
  readonly createdAt: string;
}

/**
 * What watches of nodes and pods have told, by address. Kubelets write the addresses of their own node and pods, so of
 * two that claim one address a server's node counts before others, and then the older object: nobody gets the traffic
 * of a node that is there by taking its address.
 */
export class EgressTable<T extends NodeEntry = NodeEntry> implements EgressKnowledge {
  readonly #nodes = new AddressClaims<Claimant & { readonly node: T }>();
  readonly #pods = new AddressClaims<Claimant & { readonly nodeName: string }>();

  /** A node was added or has changed. */
  setNode(node: T): void {
    const { name, addresses, createdAt, isServer } = node;
    this.#nodes.set({ key: name, rank: `${isServer ? 0 : 1} ${createdAt} ${name}`, addresses, node });
  }

  removeNode(name: string): void {
    this.#nodes.remove(name);
  }

  /** Forgets all nodes but these. */
  retainNodes(names: ReadonlySet<string>): void {
    this.#nodes.retain(names);
  }

  /** A pod was added or has changed; pods of the host's network and pods that are done do not belong here. */
  setPod({ uid, nodeName, addresses, createdAt }: PodEntry): void {
    this.#pods.set({ key: uid, rank: `${createdAt} ${uid}`, addresses, nodeName });
  }

  removePod(uid: string): void {
    this.#pods.remove(uid);
  }

  /** Forgets all pods but these. */
  retainPods(uids: ReadonlySet<string>): void {
    this.#pods.retain(uids);
  }

  nodeByAddress(ip: string): T | undefined {
    return this.#nodes.holderOf(ip)?.node;
  }

  nodeByPodAddress(ip: string): T | undefined {
    return this.#nodes.get(this.#pods.holderOf(ip)?.nodeName ?? "")?.node;
  }
}
