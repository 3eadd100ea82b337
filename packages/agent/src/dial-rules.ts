import { BlockList, connect, isIP, isIPv4, type Socket } from "node:net";

/** What may be reached on this node through its tunnel. */
export interface DialOptions {
  /** Port of the kubelet. */
  readonly kubeletPort: number;
  /** Where the kubelet listens: a dial to the loopback address goes there. */
  readonly kubeletHost: string;
  /** Ranges of addresses that may be reached on any port: empty unless the mode is `cluster`. */
  readonly ranges: readonly string[];
}

interface Target {
  readonly network: string;
  readonly host: string;
  readonly port: number;
}

/** Where the container runtime serves exec, attach and port-forward. */
const CRI_STREAMING_PORT = 10_010;
const LOOPBACKS = new Set(["127.0.0.1", "::1"]);

/**
 * The node's own say in what servers connect to: its kubelet and container runtime, always; addresses in `ranges`. A
 * server that asks for more is not to be trusted, and its tunnel is ended.
 */
export class DialPermission {
  readonly #options: DialOptions;
  readonly #ranges = new BlockList();

  constructor(options: DialOptions) {
    this.#options = options;
    for (const range of options.ranges) {
      const [address = "", length = ""] = range.split("/");
      this.#ranges.addSubnet(address, Number(length), familyOf(address));
    }
  }

  /** `address` is `host:port`. */
  allows({ network, address }: { readonly network: string; readonly address: string }): boolean {
    const target = parse(network, address);
    if (target === undefined) return false;
    if (this.#isOwn(target)) return true;
    return isIP(target.host) !== 0 && this.#ranges.check(target.host, familyOf(target.host));
  }

  /** Connects to a target that is allowed. */
  async dial({ network, address }: { readonly network: string; readonly address: string }, signal: AbortSignal): Promise<Socket> {
    const target = parse(network, address);
    if (target === undefined) throw new Error(`Cannot dial "${address}": it is no host:port`);
    const isKubelet = this.#isOwn(target) && target.port === this.#options.kubeletPort;
    const host = isKubelet ? this.#options.kubeletHost : target.host;
    const socket = connect({ host, port: target.port, noDelay: true, allowHalfOpen: true, signal });
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve).once("error", reject);
    });
    return socket;
  }

  #isOwn({ network, host, port }: Target): boolean {
    const isOpen = port === this.#options.kubeletPort || port === CRI_STREAMING_PORT;
    return network === "tcp" && LOOPBACKS.has(host) && isOpen;
  }
}

function parse(network: string, address: string): Target | undefined {
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(address) ?? [];
  const host = bracketed ?? plain;
  return host === undefined ? undefined : { network, host, port: Number(port) };
}

function familyOf(address: string): "ipv4" | "ipv6" {
  return isIPv4(address) ? "ipv4" : "ipv6";
}
