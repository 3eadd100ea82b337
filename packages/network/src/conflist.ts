export interface ConflistOptions {
  /** The node's pod CIDRs, IPv4 and IPv6 in the cluster's order. None: the network is there, but gives no addresses yet. */
  readonly podCidrs: readonly string[];
  /** Name of the bridge that the pods of this node hang on. */
  readonly bridge: string;
}

/**
 * The CNI network list of a node: a bridge with the node's pod CIDRs, host ports, bandwidth limits.
 * Name, version and options as k3s writes them (spec 11.5); pods that reach each other through the bridge see each other's own addresses.
 */
export function conflist(options: ConflistOptions): string {
  const ranges = options.podCidrs.map((subnet) => [{ subnet }]);
  const network = {
    name: "cbr0",
    cniVersion: "1.0.0",
    plugins: [
      {
        type: "bridge",
        bridge: options.bridge,
        isDefaultGateway: true, // adds the default routes: one in `ipam` would be a second one, and an error
        hairpinMode: true,
        forceAddress: true,
        ipMasq: true,
        ipam: { type: "host-local", ranges },
      },
      { type: "portmap", capabilities: { portMappings: true } },
      { type: "bandwidth", capabilities: { bandwidth: true } },
    ],
  };
  return `${JSON.stringify(network, undefined, 2)}\n`;
}
