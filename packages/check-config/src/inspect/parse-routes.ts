import { BlockList, isIPv4 } from "node:net";
import { endianness } from "node:os";
import type { NetworkFacts } from "../host-facts.ts";

/** Interfaces that a node makes for its own pods. */
const OURS = /^(cni0|flannel|kube-|lo$)/;

interface Route {
  readonly address: string;
  readonly prefix: number;
  readonly via: string;
}

/** Judges the tables of /proc/net/route and /proc/net/ipv6_route against the ranges of pods and services. */
export function findRoutes(
  tables: { readonly ipv4: string; readonly ipv6: string },
  ranges: readonly string[],
): Pick<NetworkFacts, "hasDefaultRoute" | "overlappingRoutes"> {
  const routes = [...parseIPv4Routes(tables.ipv4), ...parseIPv6Routes(tables.ipv6)];
  const others = routes.filter(({ prefix, via }) => prefix > 0 && !OURS.test(via));
  return {
    hasDefaultRoute: routes.some(({ prefix, via }) => prefix === 0 && via !== "lo"),
    overlappingRoutes: ranges.flatMap((range) =>
      others
        .filter((route) => overlaps(range, route))
        .map(({ address, prefix, via }) => ({ range, route: `${address}/${prefix}`, via })),
    ),
  };
}

function parseIPv4Routes(table: string): Route[] {
  return table
    .split("\n")
    .slice(1)
    .flatMap((line) => {
      const [via, destination, , flags = "0", , , , mask] = line.split("\t");
      const isUp = (Number.parseInt(flags, 16) & 1) === 1;
      if (via === undefined || destination === undefined || mask === undefined || !isUp) return [];
      const bits = bytesOf(mask).reduce((sum, byte) => sum + byte.toString(2).replaceAll("0", "").length, 0);
      return [{ address: bytesOf(destination).join("."), prefix: bits, via }];
    });
}

/** The kernel prints an address as a number of the machine. */
function bytesOf(hex: string): number[] {
  const bytes = [...Buffer.from(hex, "hex")];
  return endianness() === "LE" ? bytes.reverse() : bytes;
}

function parseIPv6Routes(table: string): Route[] {
  return table.split("\n").flatMap((line) => {
    const [destination, prefix, , , , , , , , via] = line.trim().split(/\s+/);
    if (destination === undefined || prefix === undefined || via === undefined) return [];
    const address = destination.match(/.{4}/g)?.join(":") ?? "::";
    const isOfLink = /^(fe80|ff)/.test(destination);
    return isOfLink ? [] : [{ address, prefix: Number.parseInt(prefix, 16), via }];
  });
}

/** Two ranges overlap when one holds the first address of the other. */
function overlaps(range: string, { address, prefix }: Route): boolean {
  const [network = "", bits = ""] = range.split("/");
  if (isIPv4(network) !== isIPv4(address)) return false;
  const family = isIPv4(network) ? "ipv4" : "ipv6";
  const holds = (net: string, length: number, other: string) => {
    const list = new BlockList();
    list.addSubnet(net, length, family);
    return list.check(other, family);
  };
  return holds(network, Number(bits), address) || holds(address, prefix, network);
}
