import type { ComponentSet } from "@k3s/components";
import type { ServerConfig } from "@k3s/config";
import type { ControlPlaneOptions } from "@k3s/control-plane";

/** The server's settings in the words of the control plane. */
export function controlPlaneOptions(config: ServerConfig, set: ComponentSet): ControlPlaneOptions {
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
    // Relative to the server folder, which is the children's working folder: the client's preflight dials it as it stands.
    etcd: { servers: "unix://kine.sock" },
    singleServerDatastore: true,
    cloudController: !config.disableCloudController,
    egressMode: config.egressSelectorMode,
    preferExternalKubeletAddress: false,
    secretsEncryption: false,
    verbosity: 0, // the configuration has put -v and --vmodule in front of each component's arguments
    vmodule: "",
    apiserverArgs: config.kubeApiserverArg,
    controllerManagerArgs: config.kubeControllerManagerArg,
    schedulerArgs: config.kubeSchedulerArg,
  };
}
