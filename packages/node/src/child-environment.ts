import { executablePath, type ComponentSet } from "@k3s/components";
import type { NodeConfig } from "@k3s/config";
import type { ClusterNetwork } from "./node-parts.ts";

type Environment = Readonly<Record<string, string>>;
type Variables = Readonly<Record<string, string | undefined>>;

interface Surroundings {
  readonly config: Pick<NodeConfig, "nodeName" | "preferBundledBin">;
  readonly cluster: ClusterNetwork;
  readonly set: ComponentSet;
  /** The environment of this process. */
  readonly inherited: Variables;
}

/** Ours, or meant for us: secrets among them, so no child sees them. */
const PRIVATE = /^(K3S_|NOTIFY_SOCKET$|WATCHDOG_|INVOCATION_ID$|LISTEN_|NODE_OPTIONS$|MALLOC_|AWS_)/;

/** The environment of every supervised program: the caller's without what is private, PATH with the programs, proxies not for cluster traffic. */
export function childEnvironment(surroundings: Surroundings): Environment {
  const { config, cluster, set, inherited } = surroundings;
  return {
    ...Object.fromEntries(publicVariables(inherited)),
    PATH: executablePath({ set, inherited: inherited["PATH"] ?? DEFAULT_PATH, preferBundled: config.preferBundledBin }),
    NO_PROXY: noProxy(cluster, inherited),
    NODE_NAME: config.nodeName,
    // A Go program then asks the hosts file before DNS (k3s does the same).
    RES_OPTIONS: inherited["RES_OPTIONS"] ?? " ",
  };
}

const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

function publicVariables(inherited: Variables): [string, string][] {
  return Object.entries(inherited).flatMap(([name, value]) => {
    const isPublic = value !== undefined && !PRIVATE.test(name) && name.toLowerCase() !== "no_proxy";
    return isPublic ? [[name, value]] : [];
  });
}

function noProxy(network: ClusterNetwork, inherited: Variables): string {
  const given = [inherited["NO_PROXY"], inherited["no_proxy"]].flatMap((list) => list?.split(",") ?? []);
  const cluster = [".svc", `.${network.clusterDomain}`, ...network.clusterCidr, ...network.serviceCidr];
  return [...new Set([...given, ...cluster])].filter((entry) => entry !== "").join(",");
}
