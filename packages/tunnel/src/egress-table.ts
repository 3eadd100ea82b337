import { AddressClaims, type Claimant, type Standing } from "./address-claims.ts";
import type { EgressKnowledge, EgressNode } from "./decide-egress.ts";

/** A node as its object says. */
export interface NodeEntry extends EgressNode {
  /** InternalIP and ExternalIP, as far as a node can have them. */
  readonly addresses: readonly string[];
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
 * What watches of nodes and pods have told, by address. Kubelets write the addresses of their own node and pods, so nobody
 * gets the traffic of a node that is there by naming its address: that takes something which `standing` goes by. Of nodes
 * that all just say they have an address, and were first seen together, none is believed.
 */
export class EgressTable<T extends NodeEntry = NodeEntry> implements EgressKnowledge {
  readonly #nodes: AddressClaims<Claimant & { readonly node: T }>;
  readonly #pods: AddressClaims<Claimant & PodEntry>;

  /** `hasPod`: whether a pod of the node can have the address; asked anew each time. */
  constructor(
    standing: (nodeName: string, address: string) => Standing = () => "said",
    hasPod: (node: T, address: string) => boolean = () => true,
  ) {
    const ofPod = ({ nodeName }: PodEntry, address: string) => {
      const node = this.#nodes.get(nodeName)?.node;
      return node === undefined || hasPod(node, address) ? "said" : "void";
    };
    this.#pods = new AddressClaims<Claimant & PodEntry>({ standing: ofPod, choose: oldest });
    this.#nodes = new AddressClaims({ standing: ({ key }, address) => standing(key, address), choose: theOnlyOne });
  }

  /** A node was added or has changed. */
  setNode(node: T): void {
    this.#nodes.set(claimOfNode(node));
  }

  /** These are all nodes. */
  setNodes(nodes: readonly T[]): void {
    this.#nodes.setAll(nodes.map(claimOfNode));
  }

  removeNode(name: string): void {
    this.#nodes.remove(name);
  }

  /** A pod was added or has changed; pods of the host's network and pods that are done do not belong here. */
  setPod(pod: PodEntry): void {
    this.#pods.set({ ...pod, key: pod.uid });
  }

  /** These are all pods. */
  setPods(pods: readonly PodEntry[]): void {
    this.#pods.setAll(pods.map((pod) => ({ ...pod, key: pod.uid })));
  }

  removePod(uid: string): void {
    this.#pods.remove(uid);
  }

  nodeByAddress(ip: string): T | undefined {
    return this.#nodes.holderOf(ip)?.node;
  }

  rivalsFor(ip: string): readonly T[] {
    return this.nodeByAddress(ip) === undefined ? this.#nodes.rivalsFor(ip).map(({ node }) => node) : [];
  }

  nodeByPodAddress(ip: string): T | undefined {
    return this.#nodes.get(this.#pods.holderOf(ip)?.nodeName ?? "")?.node;
  }
}

function claimOfNode<T extends NodeEntry>(node: T): Claimant & { readonly node: T } {
  return { key: node.name, addresses: node.addresses, node };
}

function theOnlyOne<T>(rivals: readonly T[]): T | undefined {
  return rivals.length === 1 ? rivals[0] : undefined;
}

function oldest<T extends PodEntry>(rivals: readonly T[]): T | undefined {
  const rank = ({ createdAt, uid }: PodEntry) => `${createdAt} ${uid}`;
  return rivals.toSorted((a, b) => (rank(a) < rank(b) ? -1 : 1))[0];
}
