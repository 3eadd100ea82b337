import { randomBytes } from "node:crypto";
import { dirname } from "node:path";
import { describeError } from "@k3s/errors";
import { ensureDirectory, readIfExists, writeFileAtomic } from "@k3s/files";
import type { Logger } from "@k3s/log";
import { rangesByFamily, type Family, type Range } from "./address.ts";
import { NetworkError } from "./errors.ts";
import { subnetEnv } from "./flannel-files.ts";
import { findPeers, podRanges, publishedMac, type Backend, type FamilyLease, type NetworkNode } from "./lease.ts";
import { kernel } from "./netlink/kernel.ts";
import { formatMac } from "./netlink/message.ts";
import { findOutside, type Outside } from "./outside.ts";
import { layOverlay, podMtu, VXLAN_NAMES, type Overlay } from "./overlay.ts";
import { chainsOf, PacketRules } from "./packet-rules.ts";

export interface NodeNetworkOptions {
  readonly nodeName: string;
  readonly backend: Backend;
  /** The cluster's pod ranges. */
  readonly clusterCidrs: readonly string[];
  readonly nodeIps: readonly string[];
  /** Addresses under which others reach this node, where those are not its own; one per family. */
  readonly externalIps: readonly string[];
  /** Interface that leads to the other nodes; undefined: found out. */
  readonly interfaceName: string | undefined;
  /** Where the CNI plugin reads what its node is. */
  readonly subnetFile: string;
  /** Searched for the programs of iptables. */
  readonly path: string;
  readonly log: Logger;
}

export type Leases = Readonly<Partial<Record<Family, FamilyLease>>>;

/** MTU of an Ethernet, for pods of a node whose way to others is not known. */
const ETHERNET_MTU = 1500;
/** Steps that one log line names. */
const NAMED_STEPS = 8;

/** The kernel's side of a node's pod network. */
export class NodeNetwork {
  readonly #options: NodeNetworkOptions;
  readonly #cluster: Readonly<Partial<Record<Family, Range>>>;
  readonly #rules = new Map<Family, PacketRules>();
  readonly #macs = new Map<Family, string>();
  /** What was wanted when all was last well, by family: a difference from it is news, else somebody else's doing. */
  readonly #laid = new Map<Family, string>();
  readonly #said = new Map<string, string>();

  constructor(options: NodeNetworkOptions) {
    this.#options = options;
    this.#cluster = rangesByFamily(options.clusterCidrs);
  }

  /**
   * Brings file, interfaces, routes and rules in line with the cluster's nodes, and says in the log what had to be done or
   * cannot be. Returns what this node may tell the others; undefined while it has no range. Rejects only when `signal` aborts.
   */
  async bring(nodes: ReadonlyMap<string, NetworkNode>, signal: AbortSignal): Promise<Leases | undefined> {
    const own = nodes.get(this.#options.nodeName);
    const subnets = own === undefined ? {} : podRanges(own);
    const families = ([4, 6] as const).filter((family) => this.#cluster[family] !== undefined && subnets[family]);
    if (own === undefined || families.length === 0) return undefined;
    const outsides = new Map(families.map((family) => [family, this.#findOutside(family)]));
    const leases: Partial<Record<Family, FamilyLease>> = {};
    for (const family of families) {
      const [cluster, subnet, outside] = [this.#cluster[family], subnets[family], outsides.get(family)];
      if (cluster === undefined || subnet === undefined) continue;
      await this.#keepRules({ cluster, subnet }, signal);
      if (outside === undefined) continue;
      const overlay = this.#overlay({ own, nodes, ranges: { cluster, subnet }, outside });
      if (await this.#attempt(`network of IPv${family}`, () => this.#lay(overlay))) {
        const overwrite = this.#options.externalIps.find((ip) => ip.includes(":") === (family === 6)) ?? "";
        leases[family] = { publicIp: outside.address, mac: overlay.mac, overwrite };
      }
    }
    // Last: the first pods wait for it, and find a network that leads somewhere.
    await this.#attempt("subnet file", () => this.#writeSubnetFile(subnets, outsides));
    signal.throwIfAborted();
    return leases;
  }

  #findOutside(family: Family): Outside | undefined {
    const { interfaceName, nodeIps } = this.#options;
    const question = { family, name: interfaceName, nodeIps };
    const around = { links: kernel.links(), addresses: kernel.addresses(family), routes: kernel.routes(family) };
    const outside = findOutside(question, around);
    const wanted =
      interfaceName === undefined
        ? `no interface has the node's IPv${family} address, and there is no default route`
        : `there is no interface "${interfaceName}" with an IPv${family} address`;
    this.#say(`interface of IPv${family}`, outside === undefined ? NetworkError.noInterface(wanted) : undefined);
    return outside;
  }

  async #writeSubnetFile(
    subnets: Readonly<Partial<Record<Family, Range>>>,
    outsides: ReadonlyMap<Family, Outside | undefined>,
  ): Promise<void> {
    const { backend, subnetFile, log } = this.#options;
    const mtus = [...outsides].map(([family, outside]) => podMtu(backend, family, outside?.link.mtu ?? ETHERNET_MTU));
    const mtu = Math.min(...mtus);
    const text = subnetEnv({ cluster: this.#cluster, subnets, mtu });
    if ((await readIfExists(subnetFile))?.toString() === text) return;
    await ensureDirectory(dirname(subnetFile), 0o755);
    await writeFileAtomic(subnetFile, text, { mode: 0o644 });
    log.info({ mtu, file: subnetFile }, "pods get addresses");
  }

  #overlay({ own, nodes, ranges, outside }: OverlayParts): Overlay {
    const { nodeName, backend, log } = this.#options;
    const { family } = ranges.subnet;
    const holders = backend === "vxlan" ? forwarded(VXLAN_NAMES[family]) : new Map<string, string>();
    const view = { family, backend, cluster: ranges.cluster, own: { node: nodeName, subnet: ranges.subnet }, holders };
    const { peers, refused } = findPeers(nodes.values(), view);
    const text = JSON.stringify(refused);
    const topic = `refused peers of IPv${family}`;
    if (refused.length > 0 && this.#said.get(topic) !== text)
      log.warn({ refused }, "pods of some nodes are not reached from here");
    this.#said.set(topic, text);
    const mac = backend === "vxlan" ? this.#mac(family, own) : "";
    return { family, backend, ...ranges, outside, mac, peers };
  }

  /** The address that others know from an earlier start, else that of the interface as it is, else a new one. */
  #mac(family: Family, own: NetworkNode): string {
    const known = this.#macs.get(family);
    if (known !== undefined) return known;
    const there = kernel.links().find(({ name, kind }) => name === VXLAN_NAMES[family] && kind === "vxlan")?.mac;
    const mac = publishedMac(own, family) ?? there ?? newMac();
    this.#macs.set(family, mac);
    return mac;
  }

  #lay(overlay: Overlay): void {
    const { log } = this.#options;
    const { family, outside, peers, subnet } = overlay;
    const wanted = JSON.stringify({ ...overlay, outside: [outside.link.index, outside.link.mtu, outside.address] });
    const isKnown = this.#laid.get(family) === wanted;
    const done = layOverlay(overlay, kernel);
    this.#laid.set(family, wanted);
    if (done.length === 0) return;
    const fields = { family, steps: done.slice(0, NAMED_STEPS), count: done.length };
    if (isKnown) log.warn(fields, "somebody changed the pod network, it is mended");
    else
      log.info(
        { ...fields, subnet: subnet.address, interface: outside.link.name, peers: peers.length },
        "pod network follows the cluster",
      );
  }

  async #keepRules(ranges: { readonly cluster: Range; readonly subnet: Range }, signal: AbortSignal): Promise<void> {
    const { family } = ranges.subnet;
    const rules = this.#rules.get(family) ?? new PacketRules(family, this.#options.path);
    this.#rules.set(family, rules);
    await this.#attempt(`packet rules of IPv${family}`, async () => {
      const steps = await rules.keep(chainsOf(ranges), signal);
      if (steps.length > 0) this.#options.log.info({ family, steps }, "packet rules of the pod network are laid");
    });
    signal.throwIfAborted();
  }

  /** False when it failed. */
  async #attempt(topic: string, task: () => Promise<void> | void): Promise<boolean> {
    try {
      await task();
      this.#say(topic, undefined);
      return true;
    } catch (error) {
      this.#say(topic, error);
      return false;
    }
  }

  /** A failure once, until it changes or is over: it is met again every few seconds. */
  #say(topic: string, error: unknown): void {
    const reason = error === undefined ? "" : describeError(error);
    if ((this.#said.get(topic) ?? "") === reason) return;
    this.#said.set(topic, reason);
    if (error === undefined) this.#options.log.info({ part: topic }, "pod network is in order again");
    else {
      const hint = error instanceof NetworkError ? error.hint : undefined;
      this.#options.log.error({ part: topic, reason, hint }, "pod network is not in order, will try again");
    }
  }
}

interface OverlayParts {
  readonly own: NetworkNode;
  readonly nodes: ReadonlyMap<string, NetworkNode>;
  readonly ranges: { readonly cluster: Range; readonly subnet: Range };
  readonly outside: Outside;
}

/** Where the kernel sends frames, by interface address: it remembers also while we do not run. */
function forwarded(name: string): ReadonlyMap<string, string> {
  const index = kernel.links().find((link) => link.name === name)?.index;
  const entries = kernel.forwarding().filter(({ link }) => link === index);
  return new Map(entries.map(({ mac, address }) => [mac, address]));
}

/** Locally administered, for one interface: the second bit of the first byte is set, the first is not. */
function newMac(): string {
  const bytes = randomBytes(6);
  bytes[0] = ((bytes[0] ?? 0) & 0xfc) | 0x02;
  return formatMac(bytes);
}
