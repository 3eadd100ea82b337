import { CODE, PluginError } from "./plugin-error.ts";

/** What the node's pod network is like, as its agent leaves it for the plugin. */
export interface SubnetFile {
  /** Ranges of the cluster, IPv4 first. */
  readonly networks: readonly string[];
  /** Ranges of the node. */
  readonly subnets: readonly string[];
  readonly mtu: number;
  readonly isMasqueraded: boolean;
}

/** Reads flannel's `subnet.env`. Throws PluginError when something needed is missing. */
export function parseSubnetFile(text: string, path: string): SubnetFile {
  const values = new Map(
    text.split("\n").flatMap((line) => {
      const at = line.indexOf("=");
      return at < 0 ? [] : [[line.slice(0, at).trim(), line.slice(at + 1).trim()] as const];
    }),
  );
  const list = (key: string) => (values.get(key) ?? "").split(",").filter((entry) => entry !== "");
  const subnets = [...list("FLANNEL_SUBNET"), ...list("FLANNEL_IPV6_SUBNET")];
  const networks = [...list("FLANNEL_NETWORK"), ...list("FLANNEL_IPV6_NETWORK")];
  const mtu = Number(values.get("FLANNEL_MTU"));
  const masquerade = values.get("FLANNEL_IPMASQ");
  const missing = [
    ...(networks.length === 0 ? ["FLANNEL_NETWORK"] : []),
    ...(subnets.length === 0 ? ["FLANNEL_SUBNET"] : []),
    ...(Number.isInteger(mtu) && mtu > 0 ? [] : ["FLANNEL_MTU"]),
    ...(masquerade === undefined ? ["FLANNEL_IPMASQ"] : []),
  ];
  if (missing.length > 0)
    throw new PluginError(CODE.invalidConfig, `Cannot use "${path}": it lacks ${missing.join(", ")}`);
  return { networks, subnets, mtu, isMasqueraded: masquerade === "true" };
}
