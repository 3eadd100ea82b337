import { readFile } from "node:fs/promises";
import { homedir, hostname, networkInterfaces } from "node:os";
import type { Family } from "./ip.ts";

/** What defaults depend on and only the machine can tell. */
export interface HostFacts {
  readonly hostname: string;
  readonly isRoot: boolean;
  readonly home: string;
  /** The address others most likely reach this machine at, per family. */
  readonly addresses: Readonly<Partial<Record<Family, string>>>;
  /** Every address of this machine, loopback included. */
  readonly everyAddress: readonly string[];
  /** Ids of groups by their names. */
  readonly groups: ReadonlyMap<string, number>;
}

/** Asks the machine. Never rejects because something is absent. */
export async function readHostFacts(): Promise<HostFacts> {
  const [ipv4Routes, ipv6Routes, groups] = await Promise.all(
    ["/proc/net/route", "/proc/net/ipv6_route", "/etc/group"].map((path) => readFile(path, "utf8").catch(() => "")),
  );
  const interfaces = interfaceAddresses();
  const ipv4 = chooseAddress(interfaces, 4, defaultInterfaceIPv4(ipv4Routes ?? ""));
  const ipv6 = chooseAddress(interfaces, 6, defaultInterfaceIPv6(ipv6Routes ?? ""));
  return {
    hostname: hostname(),
    isRoot: process.getuid?.() === 0,
    home: homedir(),
    addresses: { ...(ipv4 === undefined ? {} : { 4: ipv4 }), ...(ipv6 === undefined ? {} : { 6: ipv6 }) },
    everyAddress: interfaces.map(({ address }) => address),
    groups: parseGroups(groups ?? ""),
  };
}

/** One address of one interface. */
export interface InterfaceAddress {
  readonly name: string;
  readonly family: Family;
  readonly address: string;
}

function interfaceAddresses(): InterfaceAddress[] {
  return Object.entries(networkInterfaces()).flatMap(([name, addresses = []]) =>
    addresses.map(({ address, family }) => ({ name, address, family: family === "IPv4" ? 4 : 6 }) as const),
  );
}

// Interfaces that pod networks and container runtimes make; their addresses are not the node's.
const POD_INTERFACES = /^(lo$|cni|flannel|docker|br-|veth|cali|tunl|kube-|virbr|nerdctl|podman)/;

/**
 * The first usable address of the interface of the default route. Without such a route, as on a machine cut off
 * from other networks, the one interface that has a usable address; undefined when there are several.
 */
export function chooseAddress(
  interfaces: readonly InterfaceAddress[],
  family: Family,
  defaultInterface: string | undefined,
): string | undefined {
  const usable = interfaces.filter((entry) => entry.family === family && isUsable(entry.address));
  if (defaultInterface !== undefined) return usable.find(({ name }) => name === defaultInterface)?.address;
  const others = usable.filter(({ name }) => !POD_INTERFACES.test(name));
  return new Set(others.map(({ name }) => name)).size === 1 ? others[0]?.address : undefined;
}

function isUsable(address: string): boolean {
  return !/^(127\.|169\.254\.|fe[89ab]|::1$)/i.test(address);
}

/** Interface of the default route with the lowest metric; `text` is /proc/net/route. */
export function defaultInterfaceIPv4(text: string): string | undefined {
  const routes = text.split("\n").map((line) => line.trim().split(/\s+/));
  return cheapest(
    routes.flatMap(([name = "", target, , flags = "0", , , metric = "0", mask]) =>
      target === "00000000" && mask === "00000000" && isUp(flags) ? [{ name, metric: Number(metric) }] : [],
    ),
  );
}

/** The same for /proc/net/ipv6_route. */
export function defaultInterfaceIPv6(text: string): string | undefined {
  const routes = text.split("\n").map((line) => line.trim().split(/\s+/));
  return cheapest(
    routes.flatMap(([target = "", length, , , , metric = "0", , , flags = "0", name = ""]) =>
      /^0{32}$/.test(target) && length === "00" && name !== "lo" && isUp(flags)
        ? [{ name, metric: Number.parseInt(metric, 16) }]
        : [],
    ),
  );
}

// RTF_UP and RTF_REJECT of linux/route.h; the columns are hexadecimal.
function isUp(flags: string): boolean {
  const bits = Number.parseInt(flags, 16);
  return (bits & 0x1) !== 0 && (bits & 0x200) === 0;
}

function cheapest(routes: readonly { readonly name: string; readonly metric: number }[]): string | undefined {
  return [...routes].sort((one, other) => one.metric - other.metric)[0]?.name;
}

function parseGroups(text: string): ReadonlyMap<string, number> {
  const lines = text.split("\n").map((line) => line.split(":"));
  return new Map(lines.flatMap(([name = "", , id = ""]) => (/^\d+$/.test(id) ? [[name, Number(id)] as const] : [])));
}
