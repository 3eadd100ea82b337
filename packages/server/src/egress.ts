import { follow, type KubeClient, type KubeObject } from "@k3s/kube-client";
import type { Component } from "@k3s/lifecycle";
import type { Logger } from "@k3s/log";
import { failures, RouteRefusal, type ConnectRoute } from "@k3s/supervisor-api";
import { EgressError, EgressProxy, EgressTable, type EgressMode, type PodEntry, type TunnelServer } from "@k3s/tunnel";

export interface EgressOptions {
  readonly mode: EgressMode;
  readonly local: { readonly nodeName: string; readonly kubeletHost: string };
  readonly tunnels: TunnelServer;
  readonly client: () => KubeClient;
  readonly log: Logger;
}

type Node = KubeObject & {
  readonly status?: {
    readonly addresses?: readonly { readonly type: string; readonly address: string }[];
    readonly daemonEndpoints?: { readonly kubeletEndpoint?: { readonly Port?: number } };
  };
};

type Pod = KubeObject & {
  readonly spec: { readonly nodeName?: string; readonly hostNetwork?: boolean };
  readonly status?: { readonly phase?: string; readonly podIPs?: readonly { readonly ip: string }[] };
};

const KUBELET_PORT = 10_250;
const CLUSTER_LABEL = "egress.k3s.io/cluster";
const IP_TYPES = new Set(["InternalIP", "ExternalIP"]);

/** How kube-apiserver reaches nodes: it asks the one port for a connection, which goes through the tunnel of the node. */
export class Egress implements Component {
  readonly name = "egress";
  readonly #options: EgressOptions;
  readonly #table = new EgressTable();
  readonly #proxy: EgressProxy;
  readonly #stopping = new AbortController();
  #following: Promise<unknown> = Promise.resolve();

  constructor(options: EgressOptions) {
    this.#options = options;
    const { mode, local, tunnels, log } = options;
    this.#proxy = new EgressProxy({ settings: { mode, local }, knowledge: this.#table, tunnels, log });
  }

  /** Undefined where kube-apiserver connects by itself. */
  get route(): ConnectRoute | undefined {
    if (this.#options.mode === "disabled") return undefined;
    return { groups: ["system:masters"], dial: (target) => this.#dial(target) };
  }

  start(): Promise<void> {
    const { client, mode } = this.#options;
    const { signal } = this.#stopping;
    const watches = [follow<Node>(client(), this.#nodes(), signal)];
    if (mode === "cluster" || mode === "pod") watches.push(follow<Pod>(client(), this.#pods(), signal));
    if (mode !== "disabled") this.#following = Promise.all(watches);
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
      this.#table.setNode(entryOf(node));
      return Promise.resolve();
    };
    const onDeleted = (node: Node) => this.#table.removeNode(node.metadata.name);
    return { path: "/api/v1/nodes", onObject, onDeleted, log: this.#options.log };
  }

  #pods() {
    const onObject = (pod: Pod) => {
      const entry = podEntryOf(pod);
      if (entry !== undefined && isOver(pod)) this.#table.removePod(entry);
      else if (entry !== undefined) this.#table.setPod(entry);
      return Promise.resolve();
    };
    const onDeleted = (pod: Pod) => {
      const entry = podEntryOf(pod);
      if (entry !== undefined) this.#table.removePod(entry);
    };
    return { path: "/api/v1/pods", onObject, onDeleted, log: this.#options.log };
  }
}

function entryOf({ metadata, status }: Node) {
  const addresses = status?.addresses?.filter(({ type }) => IP_TYPES.has(type)).map(({ address }) => address) ?? [];
  return {
    name: metadata.name,
    kubeletPort: status?.daemonEndpoints?.kubeletEndpoint?.Port ?? KUBELET_PORT,
    takesClusterTraffic: metadata.labels?.[CLUSTER_LABEL] !== undefined,
    addresses,
  };
}

/** Undefined for a pod without addresses of its own. */
function podEntryOf({ metadata, spec, status }: Pod): PodEntry | undefined {
  const addresses = status?.podIPs?.map(({ ip }) => ip) ?? [];
  if (spec.hostNetwork === true || spec.nodeName === undefined || addresses.length === 0) return undefined;
  return { uid: metadata.uid ?? "", nodeName: spec.nodeName, addresses };
}

function isOver({ status }: Pod): boolean {
  return status?.phase === "Succeeded" || status?.phase === "Failed";
}
