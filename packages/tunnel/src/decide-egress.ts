import { isIP } from "node:net";
import { formatHostPort, type HostPort } from "./host-port.ts";

/** `--egress-selector-mode`: what kube-apiserver reaches through the tunnel. `agent`: kubelets. */
export type EgressMode = "disabled" | "agent" | "cluster" | "pod";

/** What has to be known of a node. */
export interface EgressNode {
  readonly name: string;
  /** From its status; 10250 as long as it has none. */
  readonly kubeletPort: number;
  /** It carries the label `egress.k3s.io/cluster`: its agent dials more than its kubelet. */
  readonly takesClusterTraffic: boolean;
}

/** What is known of the cluster at this moment. */
export interface EgressKnowledge {
  /** The node with this address (InternalIP or ExternalIP). */
  nodeByAddress(ip: string): EgressNode | undefined;
  /** The node of the pod with this address; host-network pods do not count. Asked in modes `cluster` and `pod`. */
  nodeByPodAddress(ip: string): EgressNode | undefined;
}

export interface EgressSettings {
  readonly mode: EgressMode;
  /** The server's own node, which needs no tunnel. */
  readonly local: {
    readonly nodeName: string;
    /** Where its kubelet listens. */
    readonly kubeletHost: string;
  };
}

/** How to get to a target: directly, or from a node. `isKubelet`: nothing but the tunnel gets there. */
export type EgressRoute =
  | { readonly via: "direct"; readonly to: HostPort }
  | { readonly via: "tunnel"; readonly nodeName: string; readonly address: string; readonly isKubelet: boolean };

/** The port of containerd's streaming server, which kubelets redirect to. */
const STREAMING_PORT = 10_010;
const LOOPBACK = "127.0.0.1";

/** How kube-apiserver's connection to `target` is made. */
export function decideEgress(target: HostPort, knowledge: EgressKnowledge, settings: EgressSettings): EgressRoute {
  const direct = { via: "direct", to: target } as const;
  if (settings.mode === "disabled") return direct;
  if (isIP(target.host) === 0) return toKubelet(target.host, target.port, settings);
  const node = knowledge.nodeByAddress(target.host);
  if (node !== undefined && isKubeletPort(target.port, node)) return toKubelet(node.name, target.port, settings);
  if (settings.mode === "agent") return direct; // agents end the session of who asks for more
  const host = node ?? knowledge.nodeByPodAddress(target.host);
  if (host === undefined || !host.takesClusterTraffic || host.name === settings.local.nodeName) return direct;
  return { via: "tunnel", nodeName: host.name, address: formatHostPort(target), isKubelet: false };
}

function isKubeletPort(port: number, node: EgressNode): boolean {
  return port === node.kubeletPort || port === STREAMING_PORT;
}

/** An agent reaches its kubelet on its loopback address, whatever the address of the node. */
function toKubelet(nodeName: string, port: number, { local }: EgressSettings): EgressRoute {
  if (nodeName === local.nodeName) return { via: "direct", to: { host: local.kubeletHost, port } };
  return { via: "tunnel", nodeName, address: formatHostPort({ host: LOOPBACK, port }), isKubelet: true };
}
