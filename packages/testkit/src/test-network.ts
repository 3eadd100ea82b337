import { randomBytes } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { findProgram } from "./programs.ts";

const NAMESPACES = "/run/netns";

/** A switch of our own: a bridge in a network namespace, to which hosts are plugged by veth pairs. */
export class TestNetwork implements AsyncDisposable {
  readonly id: string;
  readonly #namespace: string;
  readonly #hosts: string[] = [];

  private constructor(id: string) {
    this.id = id;
    this.#namespace = `k3s-${id}-switch`;
  }

  /** Address of the bridge, which the hosts use as their default gateway. Nothing is routed beyond it. */
  static readonly gateway = "10.99.0.1";

  static async create(): Promise<TestNetwork> {
    const network = new TestNetwork(randomBytes(3).toString("hex"));
    await ip("netns", "add", network.#namespace);
    await network.#inSwitch("link", "set", "lo", "up");
    await network.#inSwitch("link", "add", "br0", "type", "bridge");
    await network.#inSwitch("addr", "add", `${TestNetwork.gateway}/24`, "dev", "br0");
    await network.#inSwitch("link", "set", "br0", "up");
    return network;
  }

  /** Makes a namespace with `address`/24 on its `eth0`. Returns the namespace's name. */
  async plug(host: string, address: string): Promise<string> {
    const namespace = this.#namespaceOf(host);
    await ip("netns", "add", namespace);
    this.#hosts.push(namespace);
    const port = portOf(host);
    await this.#inSwitch("link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", namespace);
    await this.#inSwitch("link", "set", port, "master", "br0", "up");
    await ip("-n", namespace, "link", "set", "lo", "up");
    await ip("-n", namespace, "addr", "add", `${address}/24`, "dev", "eth0");
    await ip("-n", namespace, "link", "set", "eth0", "up");
    await ip("-n", namespace, "route", "add", "default", "via", TestNetwork.gateway);
    return namespace;
  }

  /** Takes a host away with everything that its namespace holds; a machine that is switched off has no interfaces. */
  async unplug(host: string): Promise<void> {
    const namespace = this.#namespaceOf(host);
    this.#hosts.splice(this.#hosts.indexOf(namespace), 1);
    // Deleting the namespace would do this too, but some time later.
    await this.#inSwitch("link", "delete", portOf(host));
    await ip("netns", "delete", namespace);
  }

  /** Drops every packet to and from the host, which is not told, as when a cable further away is cut. */
  async cut(host: string): Promise<void> {
    await this.#inSwitch("link", "set", portOf(host), "nomaster");
  }

  /** Ends {@link cut}. */
  async mend(host: string): Promise<void> {
    await this.#inSwitch("link", "set", portOf(host), "master", "br0");
  }

  /**
   * Drops that share (0 to 1) of the packets that reach the host, and of those that leave it, at random. 0 ends it. A bad
   * radio link loses some 0.05 each way. Needs iptables; see the README for delay.
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
    const namespace = this.#namespaceOf(host);
    await ip("-n", namespace, "addr", "flush", "dev", "eth0", "scope", "global");
    await ip("-n", namespace, "addr", "add", `${address}/24`, "dev", "eth0");
    await ip("-n", namespace, "route", "replace", "default", "via", TestNetwork.gateway);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const namespace of [...this.#hosts.splice(0), this.#namespace]) await ip("netns", "delete", namespace);
    await leaveNoMount();
  }

  #namespaceOf(host: string): string {
    return `k3s-${this.id}-${host}`;
  }

  /** Before anything of the host's own sees a packet, and in a table that nobody else uses. */
  async #filter(host: string, ...args: readonly string[]): Promise<string> {
    const iptables = await findProgram(join("aux", "iptables")).catch(() => findProgram("iptables"));
    const enter = `--net=${NAMESPACES}/${this.#namespaceOf(host)}`;
    return (await execa("nsenter", [enter, iptables, "-w", "-t", "raw", ...args])).stdout;
  }

  async #inSwitch(...args: string[]): Promise<void> {
    await ip("-n", this.#namespace, ...args);
  }
}

/** The host's place in the switch. */
function portOf(host: string): string {
  return `p-${host}`;
}

/** `ip netns add` mounts its folder on itself and never takes that back. The last network to go does, when nothing is in it. */
async function leaveNoMount(): Promise<void> {
  if ((await readdir(NAMESPACES)).length > 0) return;
  if (!/ \/run\/netns /.test(await readFile("/proc/self/mounts", "utf8"))) return;
  await execa("umount", [NAMESPACES]);
}

async function ip(...args: string[]): Promise<void> {
  await execa("ip", args);
}
