import { type Family, type Range } from "./address.ts";
import { changesBetween, hostGatewayEntries, ownEntries, vxlanEntries, type Change, type Entries } from "./entries.ts";
import { NetworkError } from "./errors.ts";
import { VNI, type Backend, type Peer } from "./lease.ts";
import { KernelError, type Kernel } from "./netlink/kernel.ts";
import { bringUp, changeMtu, createVxlan, deleteLink, VXLAN_PORT, type Link, type NewVxlan } from "./netlink/links.ts";
import type { Message } from "./netlink/message.ts";
import type { Outside } from "./outside.ts";

/** What a node's network of one family should be like. */
export interface Overlay {
  readonly family: Family;
  readonly backend: Backend;
  readonly cluster: Range;
  readonly subnet: Range;
  readonly outside: Outside;
  /** For the vxlan interface; empty for host-gw. */
  readonly mac: string;
  readonly peers: readonly Peer[];
}

/** Names of the vxlan interfaces: flannel's, which end in the network's number. */
export const VXLAN_NAMES: Readonly<Record<Family, string>> = { 4: `flannel.${VNI}`, 6: `flannel-v6.${VNI}` };
/** Bytes that vxlan adds to a packet: outer IP header, UDP, vxlan and inner Ethernet header. */
const VXLAN_OVERHEAD: Readonly<Record<Family, number>> = { 4: 50, 6: 70 };
/** What a removal finds when its object is already gone. */
const GONE = new Set(["ENOENT", "ESRCH", "EADDRNOTAVAIL", "ENODEV"]);

/** The largest packet that a pod can send to another node in one piece. */
export function podMtu(backend: Backend, family: Family, outsideMtu: number): number {
  return backend === "vxlan" ? outsideMtu - VXLAN_OVERHEAD[family] : outsideMtu;
}

/**
 * Compares the kernel's network with `overlay` and mends what differs. Returns what was done, nothing when all was well;
 * throws NetworkError for the first step that the kernel refuses, after all others have been tried.
 */
export function layOverlay(overlay: Overlay, kernel: Kernel): readonly string[] {
  const { family, backend, outside, peers, subnet } = overlay;
  const { link: vxlan, done } = ensureVxlan(overlay, kernel);
  const held: Entries = {
    addresses: kernel.addresses(family),
    neighbours: [...kernel.neighbours(family), ...kernel.forwarding()],
    routes: kernel.routes(family),
  };
  const wanted =
    backend === "vxlan" && vxlan !== undefined
      ? vxlanEntries(family, subnet, { link: vxlan, peers })
      : hostGatewayEntries({ link: outside.link.index, peers });
  return [...done, ...apply(changesBetween(ownEntries(held, overlay, vxlan), wanted), kernel)];
}

function apply(changes: readonly Change[], kernel: Kernel): readonly string[] {
  const failures: NetworkError[] = [];
  for (const { what, message, isRemoval } of changes) {
    try {
      kernel.change(message);
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      if (!(isRemoval && GONE.has(error.code))) failures.push(NetworkError.refused(what, error));
    }
  }
  const [first] = failures;
  if (first !== undefined) throw first;
  return changes.map(({ what }) => what);
}

interface Ensured {
  /** Index of the vxlan interface; undefined for host-gw, which has none. */
  readonly link: number | undefined;
  readonly done: readonly string[];
}

function ensureVxlan(overlay: Overlay, kernel: Kernel): Ensured {
  const name = VXLAN_NAMES[overlay.family];
  const found = kernel.links().find((link) => link.name === name);
  const done: string[] = [];
  const step = (what: string, message: Message) => {
    change(kernel, what, message);
    done.push(what);
  };
  if (overlay.backend !== "vxlan") {
    if (found?.kind === "vxlan") step(`remove interface ${name}`, deleteLink(found.index));
    return { link: undefined, done };
  }
  const wanted = vxlanOf(overlay);
  const isKept = found !== undefined && isSame(found, wanted);
  if (found !== undefined && !isKept) step(`remove interface ${name}, which differs`, deleteLink(found.index));
  if (!isKept) step(`add interface ${name}`, createVxlan(wanted));
  const link = isKept ? found : kernel.links().find((candidate) => candidate.name === name);
  if (link === undefined) throw NetworkError.refused(`find interface ${name}`, new KernelError("ENODEV"));
  if (link.mtu !== wanted.mtu) step(`set MTU of ${name} to ${wanted.mtu}`, changeMtu(link.index, wanted.mtu));
  if (!link.isUp) step(`bring ${name} up`, bringUp(link.index));
  return { link: link.index, done };
}

function vxlanOf({ family, backend, outside, mac }: Overlay): NewVxlan {
  return {
    name: VXLAN_NAMES[family],
    mtu: podMtu(backend, family, outside.link.mtu),
    mac,
    vxlan: { vni: VNI, port: VXLAN_PORT, local: outside.address, link: outside.link.index, isLearning: false },
  };
}

/** None of these can be changed on a living interface. */
function isSame({ mac, vxlan }: Link, wanted: NewVxlan): boolean {
  return mac === wanted.mac && JSON.stringify(vxlan) === JSON.stringify(wanted.vxlan);
}

function change(kernel: Kernel, what: string, message: Message): void {
  try {
    kernel.change(message);
  } catch (error) {
    throw error instanceof KernelError ? NetworkError.refused(what, error) : error;
  }
}
