import { BlockList, isIP, isIPv4 } from "node:net";
import type { AddressHolder } from "@k3s/agent-endpoints";
import { follow, type KubeClient, type KubeObject } from "@k3s/kube-client";
import type { Component } from "@k3s/lifecycle";
import type { Logger } from "@k3s/log";
import { failures, RouteRefusal, type ConnectRoute } from "@k3s/supervisor-api";
import {
  EgressError,
  EgressProxy,
  EgressTable,
  type EgressMode,
  type NodeEntry,
  type PodEntry,
  type TunnelServer,
} from "@k3s/tunnel";

export interface EgressOptions {
  readonly mode: EgressMode;
  readonly local: { readonly nodeName: string; readonly kubeletHost: string };
  /** Where no node can be: services, and pods where their network is this product's own. */
  readonly foreignRanges: readonly string[];
  readonly tunnels: TunnelServer;
  readonly client: () => KubeClient;
  readonly log: Logger;
}

type Dated = KubeObject & { readonly metadata: { readonly creationTimestamp?: string } };

type Node = Dated & {
  readonly status?: {
    readonly addresses?: readonly { readonly type: string; readonly address: string }[];
    readonly daemonEndpoints?: { readonly kubeletEndpoint?: { readonly Port?: number } };
  };
};

type Pod = Dated & {
  readonly spec: { readonly nodeName?: string; readonly hostNetwork?: boolean };
  readonly status?: { readonly phase?: string; readonly podIPs?: readonly { readonly ip: string }[] };
};

/** Addresses that mean no machine, or every machine itself. */
const NOBODYS = ["0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3", "::/128", "::1/128", "ff00::/8"];
const KUBELET_PORT = 10_250;
const CLUSTER_LABEL = "egress.k3s.io/cluster";
const SERVER_LABEL = "node-role.kubernetes.io/control-plane";
const EXTERNAL = "ExternalIP";
const IP_TYPES = new Set(["InternalIP", EXTERNAL]);

type Entry = NodeEntry & { readonly externalAddresses: readonly string[] };

/** How kube-apiserver reaches nodes: it asks the one port for a connection, which goes through the tunnel of the node. */
export class Egress implements Component {
  readonly name = "egress";
  readonly #options: EgressOptions;
  readonly #table = new EgressTable<Entry>();
  readonly #foreign = new BlockList();
  #isListed = false;
  readonly #proxy: EgressProxy;
  readonly #stopping = new AbortController();
  #following: Promise<unknown> = Promise.resolve();

  constructor(options: EgressOptions) {
    this.#options = options;
    const { mode, local, foreignRanges, tunnels, log } = options;
    for (const range of [...NOBODYS, ...foreignRanges]) {
      const [address = "", length = ""] = range.split("/");
      this.#foreign.addSubnet(address, Number(length), familyOf(address));
    }
    this.#proxy = new EgressProxy({ settings: { mode, local }, knowledge: this.#table, tunnels, log });
  }

  /** Undefined where kube-apiserver connects by itself. */
  get route(): ConnectRoute | undefined {
    if (this.#options.mode === "disabled") return undefined;
    return { groups: ["system:masters"], dial: (target) => this.#dial(target) };
  }

  /** The node that has an address. Throws RouteRefusal while the nodes are not known. */
  holderOf(ip: string): AddressHolder | undefined {
    if (!this.#isListed) throw new RouteRefusal(failures.coreNotReady);
    const node = this.#table.nodeByAddress(ip);
    return node === undefined ? undefined : { name: node.name, isExternal: node.externalAddresses.includes(ip) };
  }

  start(): Promise<void> {
    const { client, mode } = this.#options;
    const { signal } = this.#stopping;
    const watches = [follow<Node>(client(), this.#nodes(), signal)];
    if (mode === "cluster" || mode === "pod") watches.push(follow<Pod>(client(), this.#pods(), signal));
    this.#following = Promise.all(watches);
    return Promise.resolve();
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error("it is being stopped"));
    await this.#following;
  }

  async #dial(target: string) {
    try {
      return await this.#proxy.dial(target);
    } catch (error) {
      if (!(error instanceof EgressError)) throw error;
      const base = error.status === 400 ? failures.badTarget : failures.badGateway;
      throw new RouteRefusal({ ...base, message: error.message }, { cause: error });
    }
  }

  #nodes() {
    const onObject = (node: Node) => {
      this.#table.setNode(this.#entryOf(node));
      return Promise.resolve();
    };
    const onListed = (nodes: readonly Node[]) => {
      this.#table.retainNodes(new Set(nodes.map(({ metadata }) => metadata.name)));
      for (const node of nodes) this.#table.setNode(this.#entryOf(node));
      this.#isListed = true;
    };
    const onDeleted = (node: Node) => this.#table.removeNode(node.metadata.name);
    return { path: "/api/v1/nodes", onListed, onObject, onDeleted, log: this.#options.log };
  }

  #pods() {
    const onObject = (pod: Pod) => {
      const entry = podEntryOf(pod);
      if (entry === undefined || isOver(pod)) this.#table.removePod(uidOf(pod));
      else this.#table.setPod(entry);
      return Promise.resolve();
    };
    const onListed = (pods: readonly Pod[]) => this.#table.retainPods(new Set(pods.map(uidOf)));
    const onDeleted = (pod: Pod) => this.#table.removePod(uidOf(pod));
    return { path: "/api/v1/pods", onListed, onObject, onDeleted, log: this.#options.log };
  }

  #entryOf({ metadata, status }: Node): Entry {
    const isPossible = (address: string) => isIP(address) !== 0 && !this.#foreign.check(address, familyOf(address));
    const all = status?.addresses?.filter(({ type, address }) => IP_TYPES.has(type) && isPossible(address)) ?? [];
    const internal = new Set(all.filter(({ type }) => type !== EXTERNAL).map(({ address }) => address));
    return {
      name: metadata.name,
      kubeletPort: status?.daemonEndpoints?.kubeletEndpoint?.Port ?? KUBELET_PORT,
      takesClusterTraffic: metadata.labels?.[CLUSTER_LABEL] !== undefined,
      addresses: all.map(({ address }) => address),
      externalAddresses: all.map(({ address }) => address).filter((address) => !internal.has(address)),
      createdAt: metadata.creationTimestamp ?? "",
      isServer: metadata.labels?.[SERVER_LABEL] !== undefined,
    };
  }
}

function familyOf(ip: string): "ipv4" | "ipv6" {
  return isIPv4(ip) ? "ipv4" : "ipv6";
}

function uidOf({ metadata }: Pod): string {
  return metadata.uid ?? "";
}

/** Undefined for a pod without addresses of its own. */
function podEntryOf({ metadata, spec, status }: Pod): PodEntry | undefined {
  const addresses = status?.podIPs?.map(({ ip }) => ip) ?? [];
  if (spec.hostNetwork === true || spec.nodeName === undefined || addresses.length === 0) return undefined;
  return { uid: metadata.uid ?? "", nodeName: spec.nodeName, addresses, createdAt: metadata.creationTimestamp ?? "" };
}

function isOver({ status }: Pod): boolean {
  return status?.phase === "Succeeded" || status?.phase === "Failed";
}
