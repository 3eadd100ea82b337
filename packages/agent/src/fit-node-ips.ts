import type { ClusterConfig } from "@k3s/cluster-config";
import type { AgentConfig } from "@k3s/config";
import { AgentError } from "./errors.ts";

type Ranges = Pick<ClusterConfig, "clusterCidrs" | "serviceCidrs">;

/**
 * The configuration of a node of this cluster: the cluster's first family comes first among the addresses, and those that
 * were only found on the machine are left out where the cluster has no use for their family. Throws AgentError when the
 * families do not fit together.
 */
export function fitNodeIps(config: AgentConfig, { clusterCidrs, serviceCidrs }: Ranges): AgentConfig {
  const pods = families(clusterCidrs);
  const services = families(serviceCidrs);
  const isSame = services.length === pods.length && services.every((family) => pods.includes(family));
  if (services.length > 0 && !isSame) throw AgentError.rangeFamilies({ pods: named(pods), services: named(services) });
  const needed = pods.flatMap((family) => config.nodeIp.find((ip) => familyOf(ip) === family) ?? []);
  if (needed.length < pods.length)
    throw AgentError.addressFamilies({ node: named(families(config.nodeIp)), cluster: named(pods) });
  const others = config.isNodeIpGiven ? config.nodeIp.filter((ip) => !needed.includes(ip)) : [];
  return { ...config, nodeIp: [...needed, ...others], loopbackAddress: pods[0] === "IPv6" ? "::1" : "127.0.0.1" };
}

type Family = "IPv4" | "IPv6";

function families(texts: readonly string[]): readonly Family[] {
  return [...new Set(texts.map(familyOf))];
}

function familyOf(text: string): Family {
  return text.includes(":") ? "IPv6" : "IPv4";
}

function named(list: readonly Family[]): string {
  return list.length === 0 ? "none" : list.toSorted().join("+");
}
