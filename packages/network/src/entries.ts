import { ADDRESS_BITS, contains, formatRange, parseRange, type Family, type Range } from "./address.ts";
import type { Peer } from "./lease.ts";
import { deleteAddress, setAddress, type InterfaceAddress } from "./netlink/addresses.ts";
import type { Message } from "./netlink/message.ts";
import { deleteNeighbour, setNeighbour, type Neighbour } from "./netlink/neighbours.ts";
import { deleteRoute, PROTOCOL_BOOT, setRoute, type Route } from "./netlink/routes.ts";

/** What the kernel holds for the pod network, or should hold. */
export interface Entries {
  readonly addresses: readonly InterfaceAddress[];
  readonly neighbours: readonly Neighbour[];
  readonly routes: readonly Route[];
}

/** One step from what is there to what should be. */
export interface Change {
  readonly what: string;
  readonly message: Message;
  /** Whether it takes something away; that it is already gone is then no failure. */
  readonly isRemoval: boolean;
}

/** The kernel's own default for routes that programs make (net/ipv6: IP6_RT_PRIO_USER). */
const IPV6_METRIC = 1024;

/**
 * For vxlan, all on the interface `link`: the first address of the node's range as its own; and for each peer a route to
 * its range by way of that range's first address, which is a permanent neighbour, whose frames are forwarded to the peer.
 */
export function vxlanEntries(family: Family, subnet: Range, { link, peers }: PeersOnLink): Entries {
  return {
    addresses: [{ link, address: subnet.address, length: ADDRESS_BITS[family], isGlobal: true }],
    neighbours: peers.flatMap(({ subnet: { address }, publicIp, mac }) => [
      { table: "neighbour" as const, link, address, mac },
      { table: "forwarding" as const, link, address: publicIp, mac },
    ]),
    routes: peers.map((peer) => route(peer, { link, gateway: peer.subnet.address, isOnlink: true })),
  };
}

export interface PeersOnLink {
  /** Index of the interface. */
  readonly link: number;
  readonly peers: readonly Peer[];
}

/** For host-gw: a route to each peer's range by way of the peer itself. */
export function hostGatewayEntries({ link, peers }: PeersOnLink): Entries {
  const routes = peers.map((peer) => route(peer, { link, gateway: peer.publicIp, isOnlink: false }));
  return { addresses: [], neighbours: [], routes };
}

function route({ subnet }: Peer, by: Pick<Route, "link" | "gateway" | "isOnlink">): Route {
  const metric = subnet.family === 4 ? 0 : IPV6_METRIC;
  return { destination: formatRange(subnet), protocol: PROTOCOL_BOOT, metric, ...by };
}

/** Ranges that say which routes are the pod network's. */
export interface Ranges {
  readonly cluster: Range;
  /** Of this node. */
  readonly subnet: Range;
}

/**
 * Of all that the kernel holds, what is the pod network's: everything of its vxlan interface, where there is one, on which
 * nobody else has any business; and the routes to ranges of nodes that go through others, also those of an earlier backend.
 */
export function ownEntries(held: Entries, ranges: Ranges, vxlan: number | undefined): Entries {
  const isOn = (entry: { readonly link: number }) => entry.link === vxlan;
  return {
    addresses: held.addresses.filter((entry) => isOn(entry) && entry.isGlobal),
    neighbours: held.neighbours.filter(isOn),
    routes: held.routes.filter((entry) => entry.gateway !== "" && (isOn(entry) || isToNode(entry, ranges))),
  };
}

function isToNode({ destination, protocol }: Route, { cluster, subnet }: Ranges): boolean {
  const range = parseRange(destination);
  return protocol === PROTOCOL_BOOT && range?.length === subnet.length && contains(cluster, range);
}

/** The steps that make `held` equal to `wanted`; none when it is. */
export function changesBetween(held: Entries, wanted: Entries): readonly Change[] {
  return [
    ...differences(held.neighbours, wanted.neighbours, {
      name: ({ table, address, mac }) => `${table} ${mac} at ${address}`,
      set: setNeighbour,
      remove: deleteNeighbour,
    }),
    ...differences(held.addresses, wanted.addresses, {
      name: ({ address, length }) => `address ${address}/${length}`,
      set: setAddress,
      remove: deleteAddress,
    }),
    ...routeChanges(held.routes, wanted.routes),
  ];
}

interface Kind<T> {
  readonly name: (entry: T) => string;
  readonly set: (entry: T) => Message;
  readonly remove: (entry: T) => Message;
}

/** Removals first: an entry that is to be replaced must not be in the way of its successor. */
function differences<T extends object>(held: readonly T[], wanted: readonly T[], kind: Kind<T>): Change[] {
  const { missing, surplus } = compare(held, wanted);
  return [...surplus.map((entry) => removal(entry, kind)), ...missing.map((entry) => addition(entry, kind))];
}

const ROUTES: Kind<Route> = {
  name: ({ destination, gateway }) => `route ${destination} via ${gateway}`,
  set: setRoute,
  remove: deleteRoute,
};

/** Setting a route replaces one of the same destination and metric in one step, so that no packet finds none. */
function routeChanges(held: readonly Route[], wanted: readonly Route[]): Change[] {
  const place = ({ destination, metric }: Route) => `${destination} ${metric}`;
  const { missing, surplus } = compare(held, wanted);
  const replaced = new Set(missing.map(place));
  return [
    ...missing.map((entry) => addition(entry, ROUTES)),
    ...surplus.filter((entry) => !replaced.has(place(entry))).map((entry) => removal(entry, ROUTES)),
  ];
}

function compare<T extends object>(held: readonly T[], wanted: readonly T[]) {
  const [has, wants] = [new Set(held.map(keyOf)), new Map(wanted.map((entry) => [keyOf(entry), entry]))];
  return {
    missing: [...wants].filter(([key]) => !has.has(key)).map(([, entry]) => entry),
    surplus: held.filter((entry) => !wants.has(keyOf(entry))),
  };
}

function addition<T>(entry: T, kind: Kind<T>): Change {
  return { what: `add ${kind.name(entry)}`, message: kind.set(entry), isRemoval: false };
}

function removal<T>(entry: T, kind: Kind<T>): Change {
  return { what: `remove ${kind.name(entry)}`, message: kind.remove(entry), isRemoval: true };
}

/** Entries are flat, and made by one decoder each: their values tell them apart. */
function keyOf(entry: object): string {
  return JSON.stringify(Object.entries(entry).sort(([one], [other]) => (one < other ? -1 : 1)));
}
