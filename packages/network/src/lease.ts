import { isIP } from "node:net";
import type { KubeObject } from "@k3s/kube-client";
import { NetworkError } from "./errors.ts";
import { contains, familyOf, overlaps, parseRange, type Family, type Range } from "./address.ts";

/** How packets for pods of other nodes travel: in UDP, or by plain routes where all nodes share one wire. */
export type Backend = "vxlan" | "host-gw";

/** The backend that a cluster names; undefined when its nodes bring a network of their own. Throws NetworkError for others. */
export function backendOf(name: string): Backend | undefined {
  if (name === "none") return undefined;
  if (name === "vxlan" || name === "host-gw") return name;
  throw NetworkError.unknownBackend(name);
}

/** As much of a Node as the pod network needs. */
export type NetworkNode = KubeObject & {
  readonly metadata: { readonly creationTimestamp?: string };
  readonly spec?: { readonly podCIDR?: string; readonly podCIDRs?: readonly string[] };
  readonly status?: { readonly addresses?: readonly { readonly type: string; readonly address: string }[] };
};

/** Another node, as far as its pods of one family are concerned. */
export interface Peer {
  readonly node: string;
  readonly subnet: Range;
  /** Where the node is reached. */
  readonly publicIp: string;
  /** Of its vxlan interface; empty for host-gw. */
  readonly mac: string;
}

/** What one node tells the others about itself in one family. */
export interface FamilyLease {
  readonly publicIp: string;
  /** Empty for host-gw. */
  readonly mac: string;
  /** Where others reach the node when that is no address of its own; empty otherwise. */
  readonly overwrite: string;
}

const PREFIX = "flannel.alpha.coreos.com/";
const BACKEND_TYPE = `${PREFIX}backend-type`;
const MANAGED = `${PREFIX}kube-subnet-manager`;
/** Keys by family; names and values are those of flannel's Kubernetes subnet manager. */
const KEYS = {
  4: { data: `${PREFIX}backend-data`, publicIp: `${PREFIX}public-ip`, overwrite: `${PREFIX}public-ip-overwrite` },
  6: {
    data: `${PREFIX}backend-v6-data`,
    publicIp: `${PREFIX}public-ipv6`,
    overwrite: `${PREFIX}public-ipv6-overwrite`,
  },
} as const;
export const VNI = 1;

/** The annotations that make a node a member of the pod network; null: to be removed. */
export function leaseAnnotations(
  backend: Backend,
  leases: Readonly<Partial<Record<Family, FamilyLease>>>,
): Record<string, string | null> {
  const annotations: Record<string, string | null> = { [BACKEND_TYPE]: backend, [MANAGED]: "true" };
  for (const family of [4, 6] as const) {
    const lease = leases[family];
    const { data, publicIp, overwrite } = KEYS[family];
    annotations[overwrite] = lease === undefined || lease.overwrite === "" ? null : lease.overwrite;
    if (lease === undefined) continue;
    annotations[data] = backend === "vxlan" ? JSON.stringify({ VNI, VtepMAC: lease.mac }) : "null";
    annotations[publicIp] = lease.overwrite === "" ? lease.publicIp : lease.overwrite;
  }
  return annotations;
}

/** What of `wanted` the node does not say yet. */
export function missingAnnotations(
  node: NetworkNode,
  wanted: Readonly<Record<string, string | null>>,
): Record<string, string | null> {
  const has = node.metadata.annotations ?? {};
  return Object.fromEntries(Object.entries(wanted).filter(([key, value]) => (has[key] ?? null) !== value));
}

/** The node's pod ranges; at most one of each family. */
export function podRanges({ spec }: NetworkNode): Readonly<Partial<Record<Family, Range>>> {
  const texts = spec?.podCIDRs ?? (spec?.podCIDR === undefined ? [] : [spec.podCIDR]);
  return Object.fromEntries(
    texts.flatMap((text) => {
      const range = parseRange(text);
      return range === undefined ? [] : [[range.family, range] as const];
    }),
  );
}

/** The address of the vxlan interface that a node has published, if any. */
export function publishedMac(node: NetworkNode, family: Family): string | undefined {
  if (node.metadata.annotations?.[BACKEND_TYPE] !== "vxlan") return undefined;
  return macOf(node.metadata.annotations[KEYS[family].data]);
}

/** What of a node concerns the pod network, as one text: while it stays the same, nothing is to be done. */
export function fingerprint(node: NetworkNode): string {
  const annotations = Object.entries(node.metadata.annotations ?? {}).filter(([key]) => key.startsWith(PREFIX));
  return JSON.stringify([node.spec?.podCIDR, node.spec?.podCIDRs, annotations.sort(), [...ownAddresses(node)]]);
}

interface PeerView {
  readonly family: Family;
  readonly backend: Backend;
  readonly cluster: Range;
  /** The node that asks, with its own range. */
  readonly own: { readonly node: string; readonly subnet: Range };
  /** Where frames for each interface address go by now. */
  readonly holders: ReadonlyMap<string, string>;
}

interface PeersFound {
  readonly peers: readonly Peer[];
  /** Members that cannot be reached from here, each with the reason. */
  readonly refused: readonly { readonly node: string; readonly reason: string }[];
}

/** Who says that an interface address is its own, and what there is to it. */
interface MacClaim extends Peer {
  /** The node's object bears the address that the node is reached at. */
  readonly isAddressKnown: boolean;
}

/**
 * The other members of the pod network. What a node says of itself is not believed where it would take traffic of
 * others: its range has to lie in the cluster's, and of two with the same range the older one counts. An interface address
 * stays with the node that has it; nobody can check who is right, but whoever comes to claim it comes too late.
 */
export function findPeers(nodes: Iterable<NetworkNode>, view: PeerView): PeersFound {
  const candidates: MacClaim[] = [];
  const refused: { node: string; reason: string }[] = [];
  for (const node of byAge(nodes)) {
    const candidate = candidateOf(node, view);
    if (candidate === undefined) continue;
    const type = node.metadata.annotations?.[BACKEND_TYPE];
    const reason = backendDiffers(type, view.backend) ?? whyNot(candidate, view, candidates);
    if (reason === undefined) candidates.push(candidate);
    else refused.push({ node: candidate.node, reason });
  }
  const peers: Peer[] = [];
  for (const { isAddressKnown: _, ...peer } of candidates) {
    const twin = view.backend === "vxlan" ? holderOf(peer.mac, candidates, view.holders) : undefined;
    // Two that are reached at one address take nothing from each other.
    if (twin === undefined || twin.publicIp === peer.publicIp) peers.push(peer);
    else refused.push({ node: peer.node, reason: `its interface address is that of node "${twin.node}"` });
  }
  return { peers, refused };
}

/** Undefined unless the node is another member with a range of this family. */
function candidateOf(node: NetworkNode, { family, backend, own }: PeerView): MacClaim | undefined {
  const { name, annotations = {} } = node.metadata;
  const subnet = podRanges(node)[family];
  if (name === own.node || annotations[MANAGED] !== "true" || subnet === undefined) return undefined;
  const keys = KEYS[family];
  const publicIp = annotations[keys.publicIp] ?? "";
  return {
    node: name,
    subnet,
    publicIp,
    mac: backend === "vxlan" ? (macOf(annotations[keys.data]) ?? "") : "",
    isAddressKnown: ownAddresses(node).has(publicIp),
  };
}

/** Who has it already; else one that is reached at an address of its Node, then the oldest. */
function holderOf(mac: string, byAge: readonly MacClaim[], holders: PeerView["holders"]): MacClaim | undefined {
  const rivals = byAge.filter((candidate) => candidate.mac === mac);
  const isHolder = ({ publicIp }: MacClaim) => publicIp === holders.get(mac);
  return rivals.find(isHolder) ?? rivals.find(({ isAddressKnown }) => isAddressKnown) ?? rivals[0];
}

function ownAddresses({ status }: NetworkNode): ReadonlySet<string> {
  const ips = (status?.addresses ?? []).filter(({ type }) => type === "InternalIP" || type === "ExternalIP");
  return new Set(ips.map(({ address }) => address));
}

function byAge(nodes: Iterable<NetworkNode>): readonly NetworkNode[] {
  const age = ({ metadata }: NetworkNode) => `${metadata.creationTimestamp ?? ""} ${metadata.name}`;
  return [...nodes].sort((one, other) => (age(one) < age(other) ? -1 : 1));
}

function backendDiffers(type: string | undefined, backend: Backend): string | undefined {
  return type === backend ? undefined : `it uses the backend "${type ?? ""}", this node "${backend}"`;
}

function whyNot(peer: Peer, view: PeerView, others: readonly Peer[]): string | undefined {
  const { subnet, publicIp, mac } = peer;
  if (!contains(view.cluster, subnet)) return "its range is not of the cluster's";
  if (overlaps(view.own.subnet, subnet)) return "its range is this node's";
  const owner = others.find((other) => overlaps(other.subnet, subnet));
  if (owner !== undefined) return `its range is that of node "${owner.node}"`;
  if (isIP(publicIp) === 0 || familyOf(publicIp) !== view.family || UNREACHABLE.test(publicIp))
    return "it names no address where it is reached";
  return view.backend === "vxlan" && mac === "" ? "it names no interface address" : undefined;
}

/** Unspecified, loopback and multicast addresses. */
const UNREACHABLE = /^(0\.|127\.|22[4-9]\.|23\d\.|24\d\.|25\d\.|::1?$|ff)/i;

/** Undefined unless the data name a unicast address. */
function macOf(data: string | undefined): string | undefined {
  try {
    const value: unknown = JSON.parse(data ?? "null");
    if (typeof value !== "object" || value === null || !("VtepMAC" in value)) return undefined;
    const mac = String(value.VtepMAC).toLowerCase();
    if (!/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(mac) || mac === "00:00:00:00:00:00") return undefined;
    return (Number.parseInt(mac.slice(0, 2), 16) & 1) === 0 ? mac : undefined;
  } catch {
    return undefined;
  }
}
