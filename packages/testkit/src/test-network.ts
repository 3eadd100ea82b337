import { randomBytes } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { startLateWire } from "./late-wire.ts";
import { findProgram, type Program } from "./programs.ts";

const NAMESPACES = "/run/netns";

/** An Ethernet segment: a bridge in the switch with the address that its hosts have as their gateway. */
interface Segment {
  readonly bridge: string;
  readonly gateway: string;
}

const OUTSIDE: Segment = { bridge: "br0", gateway: "10.99.0.1" };
const BEHIND_NAT: Segment = { bridge: "br1", gateway: "10.98.0.1" };

interface PluggedHost {
  readonly namespace: string;
  readonly segment: Segment;
  /** What makes its packets late. */
  wire?: Program;
}

/**
 * A switch of our own: bridges in a network namespace, to which hosts are plugged by veth pairs. Hosts in 10.99.0.0/24 reach each
 * other. Those in 10.98.0.0/24 are behind a router that translates their addresses: they connect to all, and nobody to them.
 */
export class TestNetwork implements AsyncDisposable {
  readonly id: string;
  readonly #namespace: string;
  readonly #hosts = new Map<string, PluggedHost>();

  private constructor(id: string) {
    this.id = id;
    this.#namespace = `k3s-${id}-switch`;
  }

  /** The default gateway of hosts in 10.99.0.0/24. Nothing is routed beyond it. */
  static readonly gateway = OUTSIDE.gateway;

  static async create(): Promise<TestNetwork> {
    const network = new TestNetwork(randomBytes(3).toString("hex"));
    await ip("netns", "add", network.#namespace);
    await network.#inSwitch("link", "set", "lo", "up");
    await network.#addSegment(OUTSIDE);
    return network;
  }

  /** Makes a namespace with `address`/24 on its `eth0`. Returns the namespace's name. */
  async plug(host: string, address: string): Promise<string> {
    const segment = segmentOf(address);
    if (segment === BEHIND_NAT && !this.#plugged().some((other) => other.segment === segment)) await this.#addRouter();
    const namespace = `k3s-${this.id}-${host}`;
    await ip("netns", "add", namespace);
    this.#hosts.set(host, { namespace, segment });
    const port = portOf(host);
    await this.#inSwitch("link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", namespace);
    await this.#inSwitch("link", "set", port, "master", segment.bridge, "up");
    await ip("-n", namespace, "link", "set", "lo", "up");
    await ip("-n", namespace, "addr", "add", `${address}/24`, "dev", "eth0");
    await ip("-n", namespace, "link", "set", "eth0", "up");
    await ip("-n", namespace, "route", "add", "default", "via", segment.gateway);
    return namespace;
  }

  /** Takes a host away with everything that its namespace holds; a machine that is switched off has no interfaces. */
  async unplug(host: string): Promise<void> {
    const { namespace, wire } = this.#host(host);
    this.#hosts.delete(host);
    await wire?.stop();
    // Deleting the namespace would do this too, but some time later.
    await this.#inSwitch("link", "delete", portOf(host));
    await ip("netns", "delete", namespace);
  }

  /** Drops every packet to and from the host, which is not told, as when a cable further away is cut. */
  async cut(host: string): Promise<void> {
    await this.#inSwitch("link", "set", this.#bridgePort(host), "nomaster");
  }

  /** Ends {@link cut}. */
  async mend(host: string): Promise<void> {
    await this.#inSwitch("link", "set", this.#bridgePort(host), "master", this.#host(host).segment.bridge);
  }

  /** Delivers each packet that comes to the host, and each that leaves it, that much later. 0 ends it. */
  async delay(host: string, milliseconds: number): Promise<void> {
    const plugged = this.#host(host);
    const { bridge } = plugged.segment;
    const [port, near, far] = [portOf(host), `w-${host}`, `x-${host}`];
    if (plugged.wire !== undefined) {
      await plugged.wire.stop();
      delete plugged.wire;
      await this.#inSwitch("link", "delete", near);
      await this.#inSwitch("link", "set", port, "master", bridge);
    }
    if (milliseconds === 0) return;
    await this.#inSwitch("link", "add", near, "type", "veth", "peer", "name", far);
    await this.#inSwitch("link", "set", near, "up");
    await this.#inSwitch("link", "set", port, "nomaster");
    plugged.wire = await startLateWire({ network: this.#namespace, ends: [port, near], milliseconds });
    await this.#inSwitch("link", "set", far, "master", bridge, "up");
  }

  /**
   * Drops that share (0 to 1) of the packets that reach the host, and of those that leave it, at random. 0 ends it. A bad
   * radio link loses some 0.05 each way.
   */
  async lose(host: string, share: number): Promise<void> {
    for (const [hook, device] of [
      ["PREROUTING", "-i"],
      ["OUTPUT", "-o"],
    ] as const) {
      await this.#filter(host, "-F", hook);
      if (share === 0) continue;
      const chance = ["-m", "statistic", "--mode", "random", "--probability", share.toFixed(4)];
      await this.#filter(host, "-A", hook, device, "eth0", ...chance, "-j", "DROP");
    }
  }

  /** Packets that {@link lose} has dropped since it was last called. */
  async lost(host: string): Promise<number> {
    const rules = await this.#filter(host, "-vnxL");
    return Array.from(rules.matchAll(/^\s*(\d+)\s+\d+\s+DROP\b/gm), ([, packets]) => Number(packets)).reduce(
      (sum, packets) => sum + packets,
      0,
    );
  }

  /** Gives the host another address in place of the one it has, which nobody is told. */
  async readdress(host: string, address: string): Promise<void> {
    const { namespace, segment } = this.#host(host);
    await ip("-n", namespace, "addr", "flush", "dev", "eth0", "scope", "global");
    await ip("-n", namespace, "addr", "add", `${address}/24`, "dev", "eth0");
    await ip("-n", namespace, "route", "replace", "default", "via", segment.gateway);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const plugged = this.#plugged();
    this.#hosts.clear();
    for (const { wire } of plugged) await wire?.stop();
    for (const namespace of [...plugged.map((host) => host.namespace), this.#namespace])
      await ip("netns", "delete", namespace);
    await leaveNoMount();
  }

  #host(name: string): PluggedHost {
    const host = this.#hosts.get(name);
    if (host === undefined) throw new Error(`Cannot find host "${name}": not plugged into this network`);
    return host;
  }

  #plugged(): readonly PluggedHost[] {
    return [...this.#hosts.values()];
  }

  /** The interface by which the host hangs on its bridge. */
  #bridgePort(host: string): string {
    return this.#host(host).wire === undefined ? portOf(host) : `x-${host}`;
  }

  async #addSegment({ bridge, gateway }: Segment): Promise<void> {
    await this.#inSwitch("link", "add", bridge, "type", "bridge");
    await this.#inSwitch("addr", "add", `${gateway}/24`, "dev", bridge);
    await this.#inSwitch("link", "set", bridge, "up");
  }

  /** From {@link BEHIND_NAT} to {@link OUTSIDE}. */
  async #addRouter(): Promise<void> {
    await this.#addSegment(BEHIND_NAT);
    const namespace = this.#namespace;
    await enter(namespace, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward");
    const masquerade = ["-s", `${BEHIND_NAT.gateway}/24`, "-o", OUTSIDE.bridge, "-j", "MASQUERADE"];
    await iptables(namespace, "-t", "nat", "-A", "POSTROUTING", ...masquerade);
    // Both interfaces are named, since the kernel may show packets here that only cross a bridge.
    const unasked = [
      "-i",
      OUTSIDE.bridge,
      "-o",
      BEHIND_NAT.bridge,
      "-m",
      "conntrack",
      "--ctstate",
      "NEW",
      "-j",
      "DROP",
    ];
    await iptables(namespace, "-A", "FORWARD", ...unasked);
  }

  /** Before anything of the host's own sees a packet, and in a table that nobody else uses. */
  async #filter(host: string, ...args: readonly string[]): Promise<string> {
    return iptables(this.#host(host).namespace, "-t", "raw", ...args);
  }

  async #inSwitch(...args: string[]): Promise<void> {
    await ip("-n", this.#namespace, ...args);
  }
}

/** The host's place in the switch. */
function portOf(host: string): string {
  return `p-${host}`;
}

function segmentOf(address: string): Segment {
  const network = address.split(".", 3).join(".");
  const found = [OUTSIDE, BEHIND_NAT].find(({ gateway }) => gateway.startsWith(`${network}.`));
  if (found === undefined) throw new Error(`Cannot plug ${address}: neither in 10.99.0.0/24 nor in 10.98.0.0/24`);
  return found;
}

/** `ip netns add` mounts its folder on itself and never takes that back. The last network to go does, when nothing is in it. */
async function leaveNoMount(): Promise<void> {
  if ((await readdir(NAMESPACES)).length > 0) return;
  if (!/ \/run\/netns /.test(await readFile("/proc/self/mounts", "utf8"))) return;
  await execa("umount", [NAMESPACES]);
}

async function iptables(namespace: string, ...args: readonly string[]): Promise<string> {
  const program = await findProgram(join("aux", "iptables")).catch(() => findProgram("iptables"));
  return enter(namespace, program, "-w", ...args);
}

async function enter(namespace: string, ...command: readonly string[]): Promise<string> {
  return (await execa("nsenter", [`--net=${NAMESPACES}/${namespace}`, ...command])).stdout;
}

async function ip(...args: string[]): Promise<void> {
  await execa("ip", args);
}
