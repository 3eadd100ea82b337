import { isIP } from "node:net";
import { parseHostPort } from "./host-port.ts";
import type { DialTarget } from "./frame.ts";

/** What a node lets its servers reach, beside its kubelet. */
export interface DialNetworks {
  /** The kubelet's port on this node. */
  readonly kubeletPort: number;
  /** Whether `ip` and `port` belong to what the egress mode opens: node and cluster networks, or this node's pods. */
  contains(ip: string, port: number, network: string): boolean;
}

const STREAMING_PORT = 10_010;
const LOOPBACKS: readonly string[] = ["127.0.0.1", "::1"];

/** Whether an agent dials `target` for its server: its kubelet and containerd's streaming port always, the rest as `networks` say. */
export function isDialAllowed({ network, address }: DialTarget, networks: DialNetworks): boolean {
  const target = parseHostPort(address);
  if (target === undefined || isIP(target.host) === 0) return false;
  const { host, port } = target;
  const isOwn = LOOPBACKS.includes(host) && (port === networks.kubeletPort || port === STREAMING_PORT);
  return (network === "tcp" && isOwn) || networks.contains(host, port, network);
}
