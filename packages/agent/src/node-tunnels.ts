import { readFile } from "node:fs/promises";
import type { NodeConfig } from "@k3s/config";
import type { KubeClient } from "@k3s/kube-client";
import { inSequence, type Component } from "@k3s/lifecycle";
import type { Logger } from "@k3s/log";
import { agentPaths } from "@k3s/pki";
import { dialRules, type DialRulesOptions } from "./dial-rules.ts";
import { PodAddresses } from "./pod-addresses.ts";
import { ServerDirectory, type ServerDirectoryOptions } from "./server-directory.ts";

export interface NodeTunnelsOptions {
  readonly config: Pick<NodeConfig, "nodeName" | "nodeIp" | "kubeletArg" | "bindAddress" | "loopbackAddress"> & {
    readonly paths: Pick<NodeConfig["paths"], "agentDir">;
  };
  /** The cluster's own. */
  readonly egressSelectorMode: string;
  readonly clusterCidrs: readonly string[];
  /** Whose identity may watch the service `default/kubernetes`, and pods. */
  readonly client: () => KubeClient;
  /** Where the list of servers comes from and goes to, beside the watch. */
  readonly servers: Pick<ServerDirectoryOptions, "balancer" | "known" | "ask" | "own" | "dial">;
  readonly log: Logger;
}

const KUBELET_PORT = 10_250;

/** The tunnels of this node to the servers, which show the node's certificate as it is on disk at each attempt. */
export function nodeTunnels(options: NodeTunnelsOptions): Component {
  const { config, egressSelectorMode: mode, client, servers, log } = options;
  const pods = mode === "pod" ? new PodAddresses({ client, nodeName: config.nodeName, log }) : undefined;
  const files = agentPaths(config.paths.agentDir);
  const tls = async () => {
    const paths = [files.serverCa, files.clientKubelet.cert, files.clientKubelet.key] as const;
    const [ca, cert, key] = await Promise.all(paths.map((path) => readFile(path)));
    return { ca, cert, key };
  };
  const rules = dialRules({ ...openRanges(options), ...kubeletOf(config), ...(pods === undefined ? {} : { pods }) });
  const directory = new ServerDirectory({ ...servers, client, rules, tls, log });
  return inSequence("node-tunnels", [...(pods === undefined ? [] : [pods]), directory]);
}

function openRanges({
  config,
  egressSelectorMode,
  clusterCidrs,
}: NodeTunnelsOptions): Pick<DialRulesOptions, "ranges"> {
  if (egressSelectorMode !== "cluster" && egressSelectorMode !== "pod") return { ranges: [] };
  const own = config.nodeIp.map((ip) => `${ip}/${ip.includes(":") ? 128 : 32}`);
  return { ranges: [...clusterCidrs, ...own] };
}

/** Its port is `port` of the kubelet's arguments; the last one counts. */
function kubeletOf(config: NodeTunnelsOptions["config"]): Pick<DialRulesOptions, "kubeletPort" | "kubeletHost"> {
  const given = config.kubeletArg.findLast((argument) => argument.startsWith("port="));
  return {
    kubeletPort: given === undefined ? KUBELET_PORT : Number(given.slice("port=".length)),
    kubeletHost: config.bindAddress ?? config.loopbackAddress,
  };
}
