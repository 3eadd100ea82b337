import type { ComponentSet } from "@k3s/components";
import type { ServerConfig } from "@k3s/config";
import type { Logger } from "@k3s/log";
import type { NodeRuntimeOptions, NodeSettings } from "@k3s/node-runtime";
import type { RecordsPlace } from "@k3s/process";

export interface NodePartContext {
  readonly config: ServerConfig;
  readonly set: ComponentSet;
  readonly settings: NodeSettings;
  readonly env: Readonly<Record<string, string>>;
  readonly records: RecordsPlace;
  readonly log: Logger;
}

const CREDENTIAL_PROVIDER = {
  binDirectory: "/var/lib/rancher/credentialprovider/bin",
  configFile: "/var/lib/rancher/credentialprovider/config.yaml",
};

/** The server's settings in the words of its node. */
export function nodeOptions({ config, set, settings, env, records, log }: NodePartContext): NodeRuntimeOptions {
  return {
    ...{ set, settings, env, records, log },
    path: env["PATH"] ?? "",
    agentDirectory: config.paths.agentDir,
    stateDirectory: config.paths.runDir,
    nodeName: config.nodeName,
    nodeIps: config.nodeIp,
    nodeLabels: config.nodeLabel.map(({ key, value }) => `${key}=${value}`),
    nodeTaints: config.nodeTaint.map(({ key, value, effect }) => `${key}=${value}:${effect}`),
    listenAddress: config.bindAddress ?? (config.loopbackAddress === "::1" ? "::" : "0.0.0.0"),
    loopback: config.loopbackAddress,
    clusterCidrs: config.clusterCidr,
    clusterDns: config.clusterDns,
    clusterDomain: config.clusterDomain,
    pauseImage: config.pauseImage,
    ...(config.resolvConf === undefined ? {} : { resolvConf: config.resolvConf }),
    protectKernelDefaults: false,
    cloudController: !config.disableCloudController,
    serviceLb: !config.disable.includes("servicelb"),
    ...(config.flannelBackend === "none" ? {} : { cniConfDirectory: config.paths.cniConfigDir }),
    imageCredentialProvider: CREDENTIAL_PROVIDER,
    kubeletArgs: config.kubeletArg,
    kubeProxyArgs: config.kubeProxyArg,
    verbosity: 0,
    vmodule: "",
    debug: config.debug,
  };
}
