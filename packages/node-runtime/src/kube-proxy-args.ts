import { loggingFlags, mergeArgs } from "@k3s/control-plane";
import { agentPaths } from "@k3s/pki";
import type { NodeRuntimeOptions } from "./node-runtime-options.ts";

type KubeProxyArgsOptions = Pick<
  NodeRuntimeOptions,
  "agentDirectory" | "nodeName" | "loopback" | "clusterCidrs" | "kubeProxyArgs" | "verbosity" | "vmodule"
>;

/** The whole argument list of kube-proxy; the same flags exist in every release we know. */
export function kubeProxyArgs(options: KubeProxyArgsOptions): string[] {
  const defaults = {
    "proxy-mode": "iptables",
    "healthz-bind-address": options.loopback,
    kubeconfig: agentPaths(options.agentDirectory).kubeProxyKubeconfig,
    "cluster-cidr": options.clusterCidrs.join(","),
    // We set these sysctls ourselves, where a refusal is a warning.
    "conntrack-max-per-core": "0",
    "conntrack-tcp-timeout-established": "0s",
    "conntrack-tcp-timeout-close-wait": "0s",
    "hostname-override": options.nodeName,
    ...loggingFlags(options),
  };
  return mergeArgs(defaults, options.kubeProxyArgs);
}
