import { firstHost, formatRange, type Family, type Range } from "./address.ts";
import type { Backend } from "./lease.ts";

/** Where flannel's CNI plugin looks for what its node is. */
export const SUBNET_FILE = "/run/flannel/subnet.env";

/**
 * The CNI network list of a node, as k3s writes it: flannel's plugin, which makes a bridge by what {@link SUBNET_FILE} says;
 * host ports; bandwidth limits.
 */
export function conflist(): string {
  const network = {
    name: "cbr0",
    cniVersion: "1.0.0",
    plugins: [
      { type: "flannel", delegate: { hairpinMode: true, forceAddress: true, isDefaultGateway: true } },
      { type: "portmap", capabilities: { portMappings: true } },
      { type: "bandwidth", capabilities: { bandwidth: true } },
    ],
  };
  return `${JSON.stringify(network, undefined, 2)}\n`;
}

type Ranges = Readonly<Partial<Record<Family, Range>>>;

/** flannel's own configuration. We do not read it: it is there for tools that look at a node of k3s. */
export function netConf(backend: Backend, cluster: Ranges): string {
  const conf = {
    Network: textOf(cluster[4], "0.0.0.0/0"),
    EnableIPv6: cluster[6] !== undefined,
    EnableIPv4: cluster[4] !== undefined,
    IPv6Network: textOf(cluster[6], "::/0"),
    Backend: { Type: backend },
  };
  return `${JSON.stringify(conf, undefined, 2)}\n`;
}

function textOf(range: Range | undefined, fallback: string): string {
  return range === undefined ? fallback : formatRange(range);
}

export interface SubnetFacts {
  readonly cluster: Ranges;
  /** Of this node. */
  readonly subnets: Ranges;
  readonly mtu: number;
}

/** The content of {@link SUBNET_FILE}. A range is given with the address that the node's bridge has in it. */
export function subnetEnv({ cluster, subnets, mtu }: SubnetFacts): string {
  const lines: string[] = [];
  for (const [family, prefix] of [
    [4, "FLANNEL_"],
    [6, "FLANNEL_IPV6_"],
  ] as const) {
    const [all, own] = [cluster[family], subnets[family]];
    if (all === undefined || own === undefined) continue;
    lines.push(`${prefix}NETWORK=${formatRange(all)}`, `${prefix}SUBNET=${firstHost(own)}/${own.length}`);
  }
  return [...lines, `FLANNEL_MTU=${mtu}`, "FLANNEL_IPMASQ=true", ""].join("\n");
}
