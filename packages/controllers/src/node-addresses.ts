import { ADDRESS_ANNOTATIONS, type Node, type NodeAddress } from "./node.ts";

/**
 * The addresses a node announces by its annotations (or, from older nodes, labels of the same names), in the order of k3s' cloud provider.
 * undefined while the node has not announced an internal address.
 */
export function announcedAddresses(node: Node): readonly NodeAddress[] | undefined {
  const value = (name: string) => node.metadata.annotations?.[name] ?? node.metadata.labels?.[name] ?? "";
  const list = (name: string, type: NodeAddress["type"]): NodeAddress[] =>
    value(name)
      .split(",")
      .filter((address) => address !== "")
      .map((address) => ({ type, address }));
  const internal = list(ADDRESS_ANNOTATIONS.internalIp, "InternalIP");
  if (internal.length === 0) return undefined;
  return [
    ...internal,
    ...list(ADDRESS_ANNOTATIONS.externalIp, "ExternalIP"),
    ...list(ADDRESS_ANNOTATIONS.internalDns, "InternalDNS"),
    ...list(ADDRESS_ANNOTATIONS.externalDns, "ExternalDNS"),
    { type: "Hostname", address: value(ADDRESS_ANNOTATIONS.hostname) || node.metadata.name },
  ];
}

/** Of every annotation by which a node may announce an address. */
export const ADDRESS_ANNOTATION_NAMES: readonly string[] = Object.values(ADDRESS_ANNOTATIONS);

export interface OwnAddresses {
  readonly internalIps: readonly string[];
  readonly externalIps: readonly string[];
  readonly hostname: string;
}

/** The other direction: the annotations by which a node announces `addresses`. */
export function addressAnnotations(addresses: OwnAddresses): Record<string, string> {
  const { internalIps, externalIps, hostname } = addresses;
  return {
    [ADDRESS_ANNOTATIONS.internalIp]: internalIps.join(","),
    [ADDRESS_ANNOTATIONS.hostname]: hostname,
    ...(externalIps.length > 0 && { [ADDRESS_ANNOTATIONS.externalIp]: externalIps.join(",") }),
  };
}
