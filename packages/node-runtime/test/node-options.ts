import type { KubeletArgsOptions } from "../src/kubelet-args.ts";
import type { KubeletConfigOptions } from "../src/kubelet-config.ts";
import type { NodeSettings } from "../src/node-settings.ts";

/** A machine on which everything works. */
export const goodSettings: NodeSettings = {
  cgroupDriver: "cgroupfs",
  snapshotter: "overlayfs",
  restrictOomScoreAdj: false,
  cpuCfsQuota: true,
  kubeletCgroups: undefined,
  runtimeCgroups: undefined,
  cgroupV1: false,
  userNamespace: false,
  unprivilegedPorts: true,
};

/** A machine that needs every special setting, so that every flag and field we know is used. */
export const allSettings: NodeSettings = {
  cgroupDriver: "cgroupfs",
  snapshotter: "native",
  restrictOomScoreAdj: true,
  cpuCfsQuota: false,
  kubeletCgroups: "/k3s",
  runtimeCgroups: "/k3s",
  cgroupV1: true,
  userNamespace: true,
  unprivilegedPorts: false,
};

type Options = KubeletArgsOptions &
  KubeletConfigOptions & { readonly clusterCidrs: readonly string[]; readonly kubeProxyArgs: readonly string[] };

/** A node with every optional part switched on. */
export function fullOptions(changes: Partial<Options> = {}): Options {
  return {
    kubernetesVersion: "v1.20.2",
    agentDirectory: "/data/agent",
    stateDirectory: "/run/k3s",
    settings: allSettings,
    nodeName: "node-1",
    nodeIps: ["192.0.2.10", "2001:db8::10"],
    nodeLabels: ["a=b", "c="],
    nodeTaints: ["k=v:NoSchedule", "only:NoExecute"],
    listenAddress: "0.0.0.0",
    loopback: "127.0.0.1",
    clusterCidrs: ["10.42.0.0/16", "fd00:42::/56"],
    clusterDns: ["10.43.0.10"],
    clusterDomain: "cluster.local",
    resolvConf: "/etc/resolv.conf",
    pauseImage: "rancher/mirrored-pause:3.10.2",
    protectKernelDefaults: false,
    cloudController: true,
    serviceLb: true,
    imageCredentialProvider: { binDirectory: "/provider/bin", configFile: "/provider/config.yaml" },
    kubeletArgs: [],
    kubeProxyArgs: [],
    verbosity: 2,
    vmodule: "reflector=4,kubelet*=5",
    ...changes,
  };
}

/** `--name=value` arguments by name. */
export function flagsOf(args: readonly string[]): Map<string, string> {
  return new Map(
    args.map((arg) => {
      const equals = arg.indexOf("=");
      return [arg.slice(2, equals), arg.slice(equals + 1)];
    }),
  );
}
