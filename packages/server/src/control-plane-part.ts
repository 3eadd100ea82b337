import type { ControlPlaneOptions } from "@k3s/control-plane";
import type { ServerParts } from "./server-parts.ts";

/** The server's settings in the words of the control plane. */
export function controlPlaneOptions({
  config,
  set,
  datastore,
}: Pick<ServerParts, "config" | "set" | "datastore">): ControlPlaneOptions {
  return {
    kubernetesVersion: set.versions.kubernetes.text,
    serverDirectory: config.paths.serverDir,
    loopback: config.loopbackAddress,
    apiserverPort: config.apiserverPort,
    httpsPort: config.httpsListenPort,
    advertiseAddress: config.advertiseAddress,
    clusterCidrs: config.clusterCidr,
    serviceCidrs: config.serviceCidr,
    serviceNodePortRange: config.serviceNodePortRange,
    clusterDomain: config.clusterDomain,
    etcd: datastore.etcd,
    singleServerDatastore: !datastore.isShared,
    cloudController: !config.disableCloudController,
    egressMode: config.egressSelectorMode,
    preferExternalKubeletAddress: false,
    secretsEncryption: false,
    verbosity: config.v,
    vmodule: config.vmodule ?? "",
    apiserverArgs: config.kubeApiserverArg,
    controllerManagerArgs: config.kubeControllerManagerArg,
    schedulerArgs: config.kubeSchedulerArg,
  };
}
