import { familyOf, type Family } from "./address.ts";
import type { InterfaceAddress } from "./netlink/addresses.ts";
import type { Link } from "./netlink/links.ts";
import type { Route } from "./netlink/routes.ts";

/** The interface that leads to the other nodes, and this node's address on it. */
export interface Outside {
  readonly link: Link;
  readonly address: string;
}

interface Question {
  readonly family: Family;
  /** The interface that was asked for, if any. */
  readonly name: string | undefined;
  readonly nodeIps: readonly string[];
}

export interface Surroundings {
  readonly links: readonly Link[];
  readonly addresses: readonly InterfaceAddress[];
  readonly routes: readonly Route[];
}

/**
 * The interface of the given name; else the one that has the node's address; else that of the default route with the
 * lowest metric. Undefined when there is none, or it has no address of the family.
 */
export function findOutside({ family, name, nodeIps }: Question, around: Surroundings): Outside | undefined {
  const nodeIp = nodeIps.find((address) => familyOf(address) === family);
  const usable = around.addresses.filter(({ address, isGlobal }) => isGlobal && familyOf(address) === family);
  const holder = usable.find(({ address }) => address === nodeIp);
  const index =
    name === undefined
      ? (holder?.link ?? defaultRoute(family, around.routes)?.link)
      : around.links.find((link) => link.name === name)?.index;
  const link = around.links.find((candidate) => candidate.index === index);
  const own = usable.filter((entry) => entry.link === index);
  const address = (own.find((entry) => entry.address === nodeIp) ?? own[0])?.address;
  return link === undefined || address === undefined ? undefined : { link, address };
}

function defaultRoute(family: Family, routes: readonly Route[]): Route | undefined {
  const target = family === 4 ? "0.0.0.0/0" : "::/0";
  return routes.filter(({ destination }) => destination === target).sort((one, other) => one.metric - other.metric)[0];
}
