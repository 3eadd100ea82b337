import { existsIn, kubernetesMinor, loggingFlags, mergeArgs, selectFlags, type Lifetimes } from "@k3s/control-plane";
import { agentPaths } from "@k3s/pki";
import { nodePaths, type NodeRuntimeOptions } from "./node-runtime-options.ts";

/** What the kubelet is told by flag; the rest is in its configuration. */
export interface KubeletArgsOptions extends Pick<
  NodeRuntimeOptions,
  | "agentDirectory"
  | "stateDirectory"
  | "settings"
  | "nodeName"
  | "nodeIps"
  | "nodeLabels"
  | "nodeTaints"
  | "cloudController"
  | "pauseImage"
  | "kubeletArgs"
  | "verbosity"
  | "vmodule"
> {
  readonly kubernetesVersion: string;
  /** Both files of a credential provider exist. */
  readonly imageCredentialProvider?: NodeRuntimeOptions["imageCredentialProvider"];
}

/** Since this release the kubelet reads a folder of drop-ins without an alpha switch. */
const DROP_INS = { since: 30 };

const LIFETIMES: Lifetimes = {
  config: { until: DROP_INS.since },
  "config-dir": DROP_INS,
  // Only docker, which was built in, was not "remote".
  "container-runtime": { until: 27 },
  // Both are fields of the configuration since then; see kubeletConfig.
  "container-runtime-endpoint": { until: 27 },
  "register-with-taints": { until: 23 },
  // Keeps the image from being collected; newer releases ask the runtime which images it needs.
  "pod-infra-container-image": { until: 29 },
  // cAdvisor's name for the runtime's socket.
  containerd: { until: 37 },
};

/** Since this release an external cloud provider and two addresses go together (CloudDualStackNodeIPs). */
const DUAL_STACK = { since: 29 };

/** Whether release 1.`minor` of the kubelet reads a folder of drop-ins. */
export function readsDropIns(minor: number): boolean {
  return existsIn(minor, DROP_INS);
}

/** The whole argument list of the kubelet. `config` and `config-dir` of the user are not flags any more: see kubeletConfig. */
export function kubeletArgs(options: KubeletArgsOptions): string[] {
  const minor = kubernetesMinor(options.kubernetesVersion);
  const paths = nodePaths(options);
  const defaults = {
    config: paths.kubeletConfig,
    "config-dir": paths.kubeletDropIns,
    kubeconfig: agentPaths(options.agentDirectory).kubeletKubeconfig,
    "read-only-port": "0",
    "hostname-override": options.nodeName,
    containerd: paths.containerdSocket,
    "container-runtime": "remote",
    "container-runtime-endpoint": `unix://${paths.containerdSocket}`,
    "pod-infra-container-image": options.pauseImage,
    ...nodeFlags(options),
    ...addressFlags(options, minor),
    ...loggingFlags(options),
  };
  return mergeArgs(selectFlags(defaults, LIFETIMES, minor), options.kubeletArgs);
}

function nodeFlags(options: KubeletArgsOptions): Record<string, string> {
  const provider = options.imageCredentialProvider;
  const { runtimeCgroups } = options.settings;
  return {
    ...(options.nodeLabels.length === 0 ? {} : { "node-labels": options.nodeLabels.join(",") }),
    ...(options.nodeTaints.length === 0 ? {} : { "register-with-taints": options.nodeTaints.join(",") }),
    ...(options.cloudController ? { "cloud-provider": "external" } : {}),
    ...(runtimeCgroups === undefined ? {} : { "runtime-cgroups": runtimeCgroups }),
    ...(provider === undefined
      ? {}
      : {
          "image-credential-provider-bin-dir": provider.binDirectory,
          "image-credential-provider-config": provider.configFile,
        }),
    ...(options.settings.userNamespace ? { "feature-gates": "KubeletInUserNamespace=true" } : {}),
  };
}

/** Without a cloud provider a second address has to be found by the kubelet itself (k3s). */
function addressFlags({ nodeIps, cloudController }: KubeletArgsOptions, minor: number): Record<string, string> {
  const taken = cloudController && !existsIn(minor, DUAL_STACK) ? nodeIps.slice(0, 1) : nodeIps;
  return cloudController || taken.length === 1 ? { "node-ip": taken.join(",") } : {};
}
