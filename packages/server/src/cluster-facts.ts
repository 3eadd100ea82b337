import type { ClusterFacts } from "@k3s/cluster-config";
import type { ServerConfig } from "@k3s/config";
import { cipherSuiteNames, tlsMinimum } from "./api-tls.ts";
import { clusterNetwork } from "./cluster-network.ts";

/** What other servers and agents are told of this server's configuration. */
export function clusterFacts(config: ServerConfig, ipsecPsk: string): ClusterFacts {
  const { clusterDomain, flannelBackend, disableKubeProxy, disableCloudController, disableServiceLb } =
    clusterNetwork(config);
  return {
    ...{ clusterDomain, flannelBackend, disableKubeProxy, disableCloudController, disableServiceLb, ipsecPsk },
    clusterCidrs: nonEmpty(config.clusterCidr),
    serviceCidrs: nonEmpty(config.serviceCidr),
    clusterDns: nonEmpty(config.clusterDns),
    serviceNodePortRange: config.serviceNodePortRange,
    egressSelectorMode: config.egressSelectorMode,
    supervisorMetrics: config.supervisorMetrics,
    disableHelmController: config.disableHelmController,
    disableNetworkPolicy: config.disableNetworkPolicy,
    disableScheduler: config.disableScheduler,
    disableAgent: config.disableAgent,
    disabled: config.disable,
    httpsPort: config.httpsListenPort,
    advertisePort: config.advertisePort,
    advertiseIp: config.advertiseAddress,
    apiserverPort: config.apiserverPort,
    bindAddress: config.bindAddress ?? "",
    dataDir: config.dataDir,
    nodeName: config.nodeName,
    sans: config.servingSans,
    tls: { minVersion: tlsMinimum(config.kubeApiserverArg), cipherSuites: cipherSuiteNames(config.kubeApiserverArg) },
    kubeconfig: {
      path: config.writeKubeconfig,
      mode: config.writeKubeconfigMode.toString(8).padStart(4, "0"),
      group: config.writeKubeconfigGroup === undefined ? "" : String(config.writeKubeconfigGroup),
      name: config.writeKubeconfigName,
    },
    joinUrl: config.server ?? "",
    verbosity: { level: config.v, modules: config.vmodule ?? "" },
    extraArgs: {
      apiserver: config.kubeApiserverArg,
      controllerManager: config.kubeControllerManagerArg,
      scheduler: config.kubeSchedulerArg,
    },
  };
}

/** Sound where it is used: the configuration has completed these lists. */
function nonEmpty(list: readonly string[]): readonly [string, ...string[]] {
  const [first, ...others] = list;
  if (first === undefined) throw new TypeError("Cannot tell others of the cluster: a range is missing");
  return [first, ...others];
}
