import { BlockList, connect, isIPv4, type Socket } from "node:net";
import { isDialAllowed, type DialRules, type DialTarget } from "@k3s/tunnel";

const LOOPBACKS: readonly string[] = ["127.0.0.1", "::1"];

/** What may be reached on this node through its tunnel. */
export interface DialRulesOptions {
  /** Port of the kubelet. */
  readonly kubeletPort: number;
  /** Where the kubelet listens: a dial to the loopback address goes there. */
  readonly kubeletHost: string;
  /** Ranges of addresses that may be reached: empty unless the mode is `cluster` or `pod`. */
  readonly ranges: readonly string[];
  /** Who may be reached inside of `ranges`; undefined: everybody, on any port. */
  readonly pods?: { has(ip: string, port: number): boolean };
}

/**
 * The node's own say in what servers connect to: its kubelet and container runtime, always; addresses in `ranges`. A
 * server that asks for more is not to be trusted, and its tunnel is ended. A pod that is not known (any more) fails that
 * one dial only: a server may hear of it a moment before or after this node.
 */
export function dialRules({ kubeletPort, kubeletHost, ranges, pods }: DialRulesOptions): DialRules {
  const open = new BlockList();
  for (const range of ranges) {
    const [address = "", length = ""] = range.split("/");
    open.addSubnet(address, Number(length), familyOf(address));
  }
  const contains = (ip: string) => open.check(ip, familyOf(ip));
  return {
    authorize: (target) => isDialAllowed(target, { kubeletPort, contains }),
    dial: async (target, signal) => {
      const { host, port } = hostPortOf(target);
      const isOwn = LOOPBACKS.includes(host);
      if (!isOwn && pods?.has(host, port) === false)
        throw new Error(`Cannot dial ${target.address}: no pod of this node is there`);
      return await dial(isOwn && port === kubeletPort ? kubeletHost : host, port, signal);
    },
  };
}

function hostPortOf({ address }: DialTarget): { readonly host: string; readonly port: number } {
  const at = address.lastIndexOf(":");
  return { host: address.slice(0, at).replace(/^\[|\]$/g, ""), port: Number(address.slice(at + 1)) };
}

async function dial(host: string, port: number, signal: AbortSignal): Promise<Socket> {
  const socket = connect({ host, port, noDelay: true, allowHalfOpen: true, signal });
  await new Promise<void>((resolve, reject) => {
    socket.once("connect", resolve).once("error", reject);
  });
  return socket;
}

function familyOf(address: string): "ipv4" | "ipv6" {
  return isIPv4(address) ? "ipv4" : "ipv6";
}
