import type { ServerConfig } from "@k3s/config";
import type { ClusterNetwork } from "@k3s/node";

/** The server's settings, as far as they concern every node. */
export function clusterNetwork(config: ServerConfig): ClusterNetwork {
  const { clusterCidr, serviceCidr, clusterDns, clusterDomain } = config;
  const { flannelBackend, egressSelectorMode, disableKubeProxy, disableCloudController } = config;
  return {
    ...{
      clusterCidr,
      serviceCidr,
      clusterDns,
      clusterDomain,
      flannelBackend,
      flannelExternalIp: false,
      egressSelectorMode,
      disableKubeProxy,
      disableCloudController,
    },
    disableServiceLb: config.disable.includes("servicelb"),
  };
}
