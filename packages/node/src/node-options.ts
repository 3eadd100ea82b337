import type { NodeRuntimeOptions, NodeSettings } from "@k3s/node-runtime";
import type { NodeParts } from "./node-parts.ts";

const CREDENTIAL_PROVIDER = {
  binDirectory: "/var/lib/rancher/credentialprovider/bin",
  configFile: "/var/lib/rancher/credentialprovider/config.yaml",
};

/** The settings of node and cluster in the words of the programs. */
export function nodeOptions(parts: NodeParts, settings: NodeSettings): NodeRuntimeOptions {
  const { config, cluster, set, env, records, host } = parts;
  return {
    ...{ set, settings, env, records, log: host.log },
    path: env["PATH"] ?? "",
    agentDirectory: config.paths.agentDir,
    stateDirectory: config.paths.runDir,
    nodeName: config.nodeName,
    nodeIps: config.nodeIp,
    nodeLabels: config.nodeLabel.map(({ key, value }) => `${key}=${value}`),
    nodeTaints: config.nodeTaint.map(({ key, value, effect }) => `${key}=${value}:${effect}`),
    listenAddress: config.bindAddress ?? (config.loopbackAddress === "::1" ? "::" : "0.0.0.0"),
    loopback: config.loopbackAddress,
    clusterCidrs: cluster.clusterCidr,
    clusterDns: cluster.clusterDns,
    clusterDomain: cluster.clusterDomain,
    pauseImage: config.pauseImage,
    ...(config.resolvConf === undefined ? {} : { resolvConf: config.resolvConf }),
    protectKernelDefaults: false,
    cloudController: !cluster.disableCloudController,
    serviceLb: !cluster.disableServiceLb,
    ...(cluster.flannelBackend === "none" ? {} : { cniConfDirectory: config.paths.cniConfigDir }),
    imageCredentialProvider: CREDENTIAL_PROVIDER,
    kubeletArgs: config.kubeletArg,
    kubeProxyArgs: config.kubeProxyArg,
    verbosity: config.v,
    vmodule: config.vmodule ?? "",
    debug: config.debug,
  };
}
