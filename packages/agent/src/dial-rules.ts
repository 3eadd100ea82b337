import { BlockList, connect, isIPv4, type Socket } from "node:net";
import { isDialAllowed, type DialRules, type DialTarget } from "@k3s/tunnel";

/** What may be reached on this node through its tunnel. */
export interface DialOptions {
  /** Port of the kubelet. */
  readonly kubeletPort: number;
  /** Where the kubelet listens: a dial to the loopback address goes there. */
  readonly kubeletHost: string;
  /** Ranges of addresses that may be reached on any port: empty unless the mode is `cluster`. */
  readonly ranges: readonly string[];
}

/**
 * The node's own say in what servers connect to: its kubelet and container runtime, always; addresses in `ranges`. A
 * server that asks for more is not to be trusted, and its tunnel is ended.
 */
export function dialRules({ kubeletPort, kubeletHost, ranges }: DialOptions): DialRules {
  const open = new BlockList();
  for (const range of ranges) {
    const [address = "", length = ""] = range.split("/");
    open.addSubnet(address, Number(length), familyOf(address));
  }
  const contains = (ip: string) => open.check(ip, familyOf(ip));
  return {
    authorize: (target) => isDialAllowed(target, { kubeletPort, contains }),
    dial: (target, signal) => dial(target, { kubeletPort, kubeletHost, signal }),
  };
}

async function dial(
  { address }: DialTarget,
  { kubeletPort, kubeletHost, signal }: Omit<DialOptions, "ranges"> & { readonly signal: AbortSignal },
): Promise<Socket> {
  const at = address.lastIndexOf(":");
  const host = address.slice(0, at).replace(/^\[|\]$/g, "");
  const port = Number(address.slice(at + 1));
  const isKubelet = port === kubeletPort && (host === "127.0.0.1" || host === "::1");
  const socket = connect({ host: isKubelet ? kubeletHost : host, port, noDelay: true, allowHalfOpen: true, signal });
  await new Promise<void>((resolve, reject) => {
    socket.once("connect", resolve).once("error", reject);
  });
  return socket;
}

function familyOf(address: string): "ipv4" | "ipv6" {
  return isIPv4(address) ? "ipv4" : "ipv6";
}
