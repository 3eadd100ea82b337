import { goNetwork, goPortRange } from "./go-network.ts";

/** What a server's configuration says to others, in our words. Ranges are `address/length`, ports `first-last`. */
export interface ClusterFacts {
  readonly clusterCidrs: readonly [string, ...string[]];
  readonly serviceCidrs: readonly [string, ...string[]];
  readonly clusterDns: readonly [string, ...string[]];
  readonly clusterDomain: string;
  readonly serviceNodePortRange: string;
  readonly flannelBackend: string;
  readonly egressSelectorMode: string;
  readonly supervisorMetrics: boolean;
  readonly disableCloudController: boolean;
  readonly disableHelmController: boolean;
  readonly disableNetworkPolicy: boolean;
  readonly disableServiceLb: boolean;
  readonly disableKubeProxy: boolean;
  readonly disableScheduler: boolean;
  readonly disableAgent: boolean;
  /** Packaged components that are not deployed. */
  readonly disabled: readonly string[];
  readonly httpsPort: number;
  readonly advertisePort: number;
  readonly advertiseIp: string;
  readonly apiserverPort: number;
  readonly bindAddress: string;
  readonly dataDir: string;
  readonly nodeName: string;
  readonly sans: readonly string[];
  readonly tls: { readonly minVersion: string; readonly cipherSuites: readonly string[] };
  /** Pre-shared key of the cluster, for the backends that ask for one. */
  readonly ipsecPsk: string;
  readonly kubeconfig: { readonly path: string; readonly mode: string; readonly group: string; readonly name: string };
  /** `--server`; empty for the first server. */
  readonly joinUrl: string;
  /** `-v` and `--vmodule`. */
  readonly verbosity: { readonly level: number; readonly modules: string };
  /** The user's own. */
  readonly extraArgs: Readonly<Record<"apiserver" | "controllerManager" | "scheduler", readonly string[]>>;
}

/**
 * The document of `/v1-k3s/config`: the server's configuration as Go's encoder writes k3s's own struct. Peers decode it by
 * exact names; what this version does not have stands at its zero value.
 */
export function encodeClusterConfig(facts: ClusterFacts): string {
  return `${JSON.stringify({ ...critical(facts), ...addresses(facts), ...components(facts), ...rest(facts) })}\n`;
}

/** Must be the same on every server of a cluster. */
function critical(facts: ClusterFacts) {
  return {
    ClusterDNSs: facts.clusterDns,
    ClusterIPRanges: facts.clusterCidrs.map(goNetwork),
    ClusterDNS: facts.clusterDns[0],
    ClusterDomain: facts.clusterDomain,
    ClusterIPRange: goNetwork(facts.clusterCidrs[0]),
    DisableCCM: facts.disableCloudController,
    DisableHelmController: facts.disableHelmController,
    DisableNPC: facts.disableNetworkPolicy,
    EncryptSecrets: false,
    EncryptProvider: "aescbc", // upstream's default, also while nothing is encrypted
    EmbeddedRegistry: false,
    FlannelBackend: facts.flannelBackend,
    FlannelIPv6Masq: false,
    FlannelExternalIP: false,
    EgressSelectorMode: facts.egressSelectorMode,
    ServiceIPRange: goNetwork(facts.serviceCidrs[0]),
    ServiceIPRanges: facts.serviceCidrs.map(goNetwork),
    SupervisorMetrics: facts.supervisorMetrics,
  };
}

function addresses(facts: ClusterFacts) {
  return {
    AdvertisePort: facts.advertisePort,
    AdvertiseIP: facts.advertiseIp,
    HTTPSPort: facts.httpsPort,
    SupervisorPort: facts.httpsPort,
    APIServerPort: facts.apiserverPort,
    APIServerBindAddress: "",
    ServiceNodePortRange: goPortRange(facts.serviceNodePortRange),
    BindAddress: facts.bindAddress,
    PrivateIP: "",
    SANs: facts.sans,
    SANSecurity: true,
    MinTLSVersion: facts.tls.minVersion,
    CipherSuites: facts.tls.cipherSuites,
  };
}

function components(facts: ClusterFacts) {
  return {
    Disables: Object.fromEntries(facts.disabled.map((name) => [name, true])),
    Skips: null,
    DisableAgent: facts.disableAgent,
    DisableAPIServer: false,
    DisableControllerManager: false,
    DisableETCD: false,
    DisableKubeProxy: facts.disableKubeProxy,
    DisableScheduler: facts.disableScheduler,
    DisableServiceLB: facts.disableServiceLb,
    ExtraAPIArgs: orNull(facts.extraArgs.apiserver),
    ExtraControllerArgs: orNull(facts.extraArgs.controllerManager),
    ExtraCloudControllerArgs: null,
    ExtraEtcdArgs: null,
    ExtraSchedulerArgs: orNull(facts.extraArgs.scheduler),
    ExtraHelmArgs: null,
    NoLeaderElect: false,
  };
}

function rest(facts: ClusterFacts) {
  return {
    KubeConfigOutput: facts.kubeconfig.path,
    KubeConfigMode: facts.kubeconfig.mode,
    KubeConfigGroup: facts.kubeconfig.group,
    KubeConfigName: facts.kubeconfig.name,
    HelmJobImage: "",
    DataDir: facts.dataDir,
    KineTLS: false,
    Rootless: false,
    ServiceLBNamespace: "kube-system",
    JoinURL: facts.joinUrl,
    IPSECPSK: facts.ipsecPsk,
    DefaultLocalStoragePath: "",
    SystemDefaultRegistry: "",
    ClusterInit: false,
    ClusterReset: false,
    ClusterResetRestorePath: "",
    ServerNodeName: facts.nodeName,
    VLevel: facts.verbosity.level,
    VModule: facts.verbosity.modules,
  };
}

/** Go writes a list that was never filled as null. */
function orNull(list: readonly string[]): readonly string[] | null {
  return list.length === 0 ? null : list;
}
