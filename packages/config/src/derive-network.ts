import type { HostFacts } from "./host-facts.ts";
import {
  addressAt,
  contains,
  formatAddress,
  formatCidr,
  overlaps,
  parseAddress,
  parseCidr,
  type Address,
  type Cidr,
  type Family,
} from "./ip.ts";
import type { ServerValues } from "./server-settings.ts";
import type { Report } from "./setting.ts";

/** The addresses of a node and of its cluster; lists hold one entry per family, the more important family first. */
export interface NetworkConfig {
  readonly nodeIp: readonly string[];
  readonly nodeExternalIp: readonly string[];
  readonly clusterCidr: readonly string[];
  readonly serviceCidr: readonly string[];
  readonly clusterDns: readonly string[];
  /** Undefined: every address, also when an unspecified one such as 0.0.0.0 was given. */
  readonly bindAddress: string | undefined;
  readonly advertiseAddress: string;
  readonly advertisePort: number;
  /** Address of the service `kubernetes`: the first of the first service range. */
  readonly serviceIp: string;
  /** Port of kube-apiserver on the loopback address. */
  readonly apiserverPort: number;
  /** 127.0.0.1, or ::1 when the first service range is IPv6. */
  readonly loopbackAddress: "127.0.0.1" | "::1";
}

interface Ranges {
  readonly nodes: readonly Address[];
  readonly pods: readonly Cidr[];
  readonly services: readonly Cidr[];
  readonly dns: readonly Address[];
}

const DEFAULT_PODS = { 4: "10.42.0.0/16", 6: "fd00:42::/56" } as const;
const DEFAULT_SERVICES = { 4: "10.43.0.0/16", 6: "fd00:43::/112" } as const;
const DNS_OFFSET = 10;

/** Fills in the defaults by family and checks that all addresses fit together. */
export function deriveNetwork(values: ServerValues, host: HostFacts, report: Report): NetworkConfig {
  const ranges = completeRanges(values, host, report);
  checkFamilies(values, ranges, report);
  checkRanges(ranges, report);
  checkNodeRanges(values, ranges, report);
  checkDns(ranges, report);
  const [firstService] = ranges.services;
  const serviceIp = firstService === undefined ? undefined : addressAt(firstService, 1);
  if (firstService !== undefined && serviceIp === undefined) {
    report(`--service-cidr must have room for services: current value is "${formatCidr(firstService)}"`);
  }
  if (values.httpsListenPort === 65_535) {
    report("--https-listen-port must be below 65535: the port after it is needed as well");
  }
  const advertiseAddress = chooseAdvertised(values, ranges, report);
  return {
    nodeIp: ranges.nodes.map(formatAddress),
    nodeExternalIp: values.nodeExternalIp.map(formatAddress),
    clusterCidr: ranges.pods.map(formatCidr),
    serviceCidr: ranges.services.map(formatCidr),
    clusterDns: ranges.dns.map(formatAddress),
    bindAddress: bindAddress(values),
    advertiseAddress: advertiseAddress === undefined ? "" : formatAddress(advertiseAddress),
    advertisePort: values.advertisePort ?? values.httpsListenPort,
    serviceIp: serviceIp === undefined ? "" : formatAddress(serviceIp),
    apiserverPort: values.httpsListenPort + 1,
    loopbackAddress: firstService?.family === 6 ? "::1" : "127.0.0.1",
  };
}

/** The addresses of a node that joins a cluster whose ranges others have decided. */
export function nodeAddresses(
  values: ServerValues,
  host: HostFacts,
  report: Report,
): Pick<NetworkConfig, "nodeIp" | "nodeExternalIp" | "bindAddress" | "loopbackAddress"> {
  const nodes = values.nodeIp.length > 0 ? values.nodeIp : everyNodeAddress(host, report);
  checkOnePerFamily("--node-ip", nodes, report);
  checkOnePerFamily("--node-external-ip", values.nodeExternalIp, report);
  return {
    nodeIp: nodes.map(formatAddress),
    nodeExternalIp: values.nodeExternalIp.map(formatAddress),
    bindAddress: bindAddress(values),
    loopbackAddress: nodes[0]?.family === 6 ? "::1" : "127.0.0.1",
  };
}

export function warnOfForeignAddresses(nodeIps: readonly string[], host: HostFacts, warnings: string[]): void {
  for (const address of nodeIps) {
    if (!host.everyAddress.includes(address)) warnings.push(`--node-ip ${address} is not an address of this machine`);
  }
}

/** Nobody can connect to an unspecified address: it must not reach a kubeconfig. */
function bindAddress({ bindAddress: address }: ServerValues): string | undefined {
  return address === undefined || address.value === 0n ? undefined : formatAddress(address);
}

function completeRanges(values: ServerValues, host: HostFacts, report: Report): Ranges {
  const nodes = values.nodeIp.length > 0 ? values.nodeIp : guessNodeAddresses(values, host, report);
  const family = nodes[0]?.family ?? 4;
  const pods = values.clusterCidr.length > 0 ? values.clusterCidr : [knownCidr(DEFAULT_PODS[family])];
  const services = values.serviceCidr.length > 0 ? values.serviceCidr : [knownCidr(DEFAULT_SERVICES[family])];
  const dns = values.clusterDns.length > 0 ? values.clusterDns : services.flatMap((range) => dnsOf(range, report));
  return { nodes, pods, services, dns };
}

/** One address per family that the ranges ask for; without ranges the machine's first, IPv4 if it has one. */
function guessNodeAddresses(values: ServerValues, host: HostFacts, report: Report): Address[] {
  const given = values.clusterCidr.length > 0 ? values.clusterCidr : values.serviceCidr;
  const families = given.length > 0 ? given.map(({ family }) => family) : [firstFamily(host)];
  return families.flatMap((family) => {
    const address = parseAddress(host.addresses[family] ?? "");
    if (address !== undefined) return [address];
    report(addressMissing(family));
    return [];
  });
}

/** The machine's address of each family it has, IPv4 first. */
function everyNodeAddress(host: HostFacts, report: Report): Address[] {
  const found = ([4, 6] as const).flatMap((family) => parseAddress(host.addresses[family] ?? "") ?? []);
  if (found.length === 0) report(addressMissing(4));
  return found;
}

function addressMissing(family: Family): string {
  return `--node-ip must be given: this machine has no default route for IPv${family} and no single address to use instead`;
}

function firstFamily(host: HostFacts): Family {
  return host.addresses[4] === undefined && host.addresses[6] !== undefined ? 6 : 4;
}

function knownCidr(text: string): Cidr {
  const cidr = parseCidr(text);
  if (cidr === undefined) throw new TypeError(`Cannot parse built-in range "${text}"`);
  return cidr;
}

function dnsOf(range: Cidr, report: Report): Address[] {
  const address = addressAt(range, DNS_OFFSET);
  if (address !== undefined) return [address];
  report(
    `--service-cidr must have room for the DNS server at its tenth address: current value is "${formatCidr(range)}"`,
  );
  return [];
}

function checkFamilies(values: ServerValues, ranges: Ranges, report: Report): void {
  const lists: readonly (readonly [string, readonly { readonly family: Family }[]])[] = [
    ["--node-ip", ranges.nodes],
    ["--node-external-ip", values.nodeExternalIp],
    ["--cluster-cidr", ranges.pods],
    ["--service-cidr", ranges.services],
    ["--cluster-dns", ranges.dns],
  ];
  for (const [name, list] of lists) checkOnePerFamily(name, list, report);
  const pods = familiesOf(ranges.pods);
  const services = familiesOf(ranges.services);
  if (pods !== services)
    report(`--cluster-cidr and --service-cidr must be of the same families: they are ${pods} and ${services}`);
  const nodes = familiesOf(ranges.nodes);
  if (nodes !== "" && !pods.split("+").every((family) => nodes.includes(family))) {
    report(`--node-ip must have an address of each family of --cluster-cidr: they are ${nodes} and ${pods}`);
  }
}

function checkOnePerFamily(name: string, list: readonly { readonly family: Family }[], report: Report): void {
  if (new Set(list.map(({ family }) => family)).size < list.length)
    report(`${name} must have at most one entry per family`);
}

function familiesOf(list: readonly { readonly family: Family }[]): string {
  const families = [...new Set(list.map(({ family }) => family))].sort();
  return families.map((family) => `IPv${family}`).join("+");
}

function checkRanges({ nodes, pods, services }: Ranges, report: Report): void {
  for (const pod of pods) {
    const service = services.find((range) => overlaps(range, pod));
    if (service !== undefined) {
      report(`--cluster-cidr "${formatCidr(pod)}" must not overlap --service-cidr "${formatCidr(service)}"`);
    }
  }
  refuseNodeIn("--cluster-cidr", pods, { nodes, report });
  refuseNodeIn("--service-cidr", services, { nodes, report });
}

/** The node's own network would no longer be reached. */
function refuseNodeIn(
  name: string,
  ranges: readonly Cidr[],
  { nodes, report }: { readonly nodes: readonly Address[]; readonly report: Report },
): void {
  for (const range of ranges) {
    const node = nodes.find((address) => contains(range, address));
    if (node === undefined) continue;
    report(`${name} "${formatCidr(range)}" must not contain the address of the node, "${formatAddress(node)}"`);
  }
}

// kube-controller-manager cuts one range per node out of the cluster's, of this length, and can count 2^16 of them.
const NODE_PREFIX = { 4: 24, 6: 64 } as const;
const NODES_MAX_BITS = 16;

function checkNodeRanges(values: ServerValues, { pods }: Ranges, report: Report): void {
  if (values.kubeControllerManagerArg.some((argument) => argument.startsWith("node-cidr-mask-size"))) return;
  for (const range of pods) {
    const bits = NODE_PREFIX[range.family] - range.prefixLength;
    if (bits >= 0 && bits <= NODES_MAX_BITS) continue;
    const limits = `from /${NODE_PREFIX[range.family] - NODES_MAX_BITS} to /${NODE_PREFIX[range.family]}`;
    report(`--cluster-cidr must have a length ${limits}: current value is "${formatCidr(range)}"`);
  }
}

function checkDns({ services, dns }: Ranges, report: Report): void {
  for (const address of dns) {
    const text = formatAddress(address);
    const range = services.find((candidate) => contains(candidate, address));
    if (range === undefined) {
      report(
        `--cluster-dns must lie in --service-cidr ${services.map(formatCidr).join(",")}: current value is "${text}"`,
      );
    } else if (address.value - range.first < 2n) {
      report(`--cluster-dns must not be one of the first two addresses of --service-cidr: current value is "${text}"`);
    }
  }
}

function chooseAdvertised(values: ServerValues, ranges: Ranges, report: Report): Address | undefined {
  const family = ranges.services[0]?.family ?? 4;
  const given = values.advertiseAddress;
  if (given !== undefined && given.family !== family) {
    report(
      `--advertise-address must be IPv${family} like the first --service-cidr: current value is "${formatAddress(given)}"`,
    );
  }
  return given ?? [...values.nodeExternalIp, ...ranges.nodes].find((address) => address.family === family);
}
