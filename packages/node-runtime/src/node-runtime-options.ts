import { join } from "node:path";
import type { ComponentSet } from "@k3s/components";
import type { Logger } from "@k3s/log";
import type { RecordsPlace } from "@k3s/process";
import type { NodeSettings } from "./node-settings.ts";

/** What containerd, kubelet and kube-proxy have to know. Plain values: nothing is read from elsewhere. */
export interface NodeRuntimeOptions {
  readonly set: ComponentSet;
  /** PATH of the children. */
  readonly path: string;
  /** Further environment of the children, such as proxies and `CONTAINERD_*`. */
  readonly env: Readonly<Record<string, string>>;
  readonly records?: RecordsPlace;
  readonly log: Logger;
  /** `<data dir>/agent`. */
  readonly agentDirectory: string;
  /** `/run/k3s` unless several nodes share a machine. */
  readonly stateDirectory: string;
  readonly settings: NodeSettings;
  readonly nodeName: string;
  readonly nodeIps: readonly string[];
  /** `key=value` each. */
  readonly nodeLabels: readonly string[];
  /** `key=value:Effect` or `key:Effect` each. */
  readonly nodeTaints: readonly string[];
  /** Where the kubelet listens: `0.0.0.0`, `::` or the address the user bound. */
  readonly listenAddress: string;
  readonly loopback: "127.0.0.1" | "::1";
  readonly clusterCidrs: readonly string[];
  readonly clusterDns: readonly string[];
  readonly clusterDomain: string;
  readonly pauseImage: string;
  /** `--resolv-conf`; absent: found or made. */
  readonly resolvConf?: string;
  readonly protectKernelDefaults: boolean;
  /** True when our own node controller sets addresses and lifts the taint. */
  readonly cloudController: boolean;
  /** False with `--disable servicelb`: its pods need two sysctls allowed. */
  readonly serviceLb: boolean;
  /** Where network lists are read from; absent when the user brings a network of their own (flannel `none`). */
  readonly cniConfDirectory?: string;
  readonly imageCredentialProvider: { readonly binDirectory: string; readonly configFile: string };
  readonly kubeletArgs: readonly string[];
  readonly kubeProxyArgs: readonly string[];
  readonly verbosity: number;
  readonly vmodule: string;
  /** Sends all of containerd's output to the log; otherwise only its warnings and errors. */
  readonly debug: boolean;
}

/** Files and folders of the node part, as k3s lays them out. */
export function nodePaths(options: Pick<NodeRuntimeOptions, "agentDirectory" | "stateDirectory">) {
  const agent = (...parts: string[]) => join(options.agentDirectory, ...parts);
  const state = join(options.stateDirectory, "containerd");
  return {
    containerdRoot: agent("containerd"),
    containerdState: state,
    containerdSocket: join(state, "containerd.sock"),
    containerdLog: agent("containerd/containerd.log"),
    containerdEtc: agent("etc/containerd"),
    containerdConfig: agent("etc/containerd/config.toml"),
    crictlConfig: agent("etc/crictl.yaml"),
    images: agent("images"),
    kubeletDropIns: agent("etc/kubelet.conf.d"),
    /** For releases that read one file only: all drop-ins, merged. */
    kubeletConfig: agent("etc/kubelet-config.yaml"),
    podManifests: agent("pod-manifests"),
    resolvConf: agent("etc/resolv.conf"),
  };
}
