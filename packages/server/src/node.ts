import { hostname } from "node:os";
import { addressAnnotations, nodeArgumentAnnotations, NodeMetadata } from "@k3s/controllers";
import type { ServerConfig } from "@k3s/config";
import { atOnce, inSequence, type Component } from "@k3s/lifecycle";
import { PodNetwork } from "@k3s/network";
import {
  chooseSettings,
  containerd,
  ImageImport,
  inspectMachine,
  kubelet,
  kubeProxy,
  machineWarnings,
  setUpKernel,
  type NodeSettings,
} from "@k3s/node-runtime";
import type { Milestone } from "./milestone.ts";
import { nodeOptions } from "./node-part.ts";
import type { ServerHost } from "./server-host.ts";
import type { ServerParts } from "./server-parts.ts";

type Environment = Readonly<Record<string, string>>;

/** Sets the kernel up for pods, finds out what the machine can do, and says what it lacks. */
export async function prepareMachine(config: ServerConfig, env: Environment, host: ServerHost): Promise<NodeSettings> {
  const log = host.log.child({ component: "machine" });
  const path = env["PATH"] ?? "";
  await setUpKernel({
    log,
    path,
    ipv4: config.clusterCidr.some((cidr) => !cidr.includes(":")),
    ipv6: config.clusterCidr.some((cidr) => cidr.includes(":")),
    bridgeFiltering: !(config.disableKubeProxy && config.flannelBackend === "none"),
    conntrack: true,
  });
  const facts = await inspectMachine({ overlayDirectory: config.paths.agentDir, path });
  const user = { snapshotter: config.snapshotter, underSystemd: host.env["INVOCATION_ID"] !== undefined };
  for (const { found, effect, cure } of machineWarnings(facts, user))
    log.warn({ found, effect, cure }, "the machine lacks something");
  return chooseSettings(facts, user);
}

/**
 * containerd, the images that lie ready for it, and the kubelet. None of them needs the API in order to start: the kubelet
 * spends its first seconds looking at the machine, and then tries to register until somebody answers.
 */
export function nodeRuntime(parts: ServerParts, settings: NodeSettings, ready: Milestone): Component {
  const options = nodeOptions({ ...parts, settings, log: parts.host.log });
  return inSequence("node-runtime", [
    containerd(options),
    new ImageImport(options), // before any pod can look for one of them
    kubelet(options),
    ready.reached,
  ]);
}

/** What joins this machine's containers to its cluster, once the kubelet runs and the API serves. */
export function nodeNetwork(parts: ServerParts, settings: NodeSettings, kubeletReady: Milestone): Component {
  const { config } = parts;
  const options = nodeOptions({ ...parts, settings, log: parts.host.log });
  return inSequence("node", [
    kubeletReady.awaited,
    registration(parts),
    atOnce("node-network", [
      // It looks its own Node up to learn its address, and settles for the loopback address when there is none.
      ...(config.disableKubeProxy ? [] : [kubeProxy(options)]),
      ...(config.flannelBackend === "none" ? [] : [podNetwork(parts)]),
    ]),
  ]);
}

function registration({ config, host, clients }: ServerParts): Component {
  const own = hostname();
  const addresses = {
    internalIps: config.nodeIp,
    externalIps: config.nodeExternalIp,
    hostname: own === "" || own.includes("localhost") ? config.nodeName : own,
  };
  const env = Object.fromEntries(
    Object.entries(host.env).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );
  return new NodeMetadata({
    name: "node-registration",
    client: () => clients.get("kubelet"),
    nodeName: config.nodeName,
    labels: Object.fromEntries(config.nodeLabel.map(({ key, value }) => [key, value])),
    annotations: {
      ...(config.disableCloudController ? {} : addressAnnotations(addresses)),
      ...nodeArgumentAnnotations(host.args, env),
    },
    log: host.log.child({ component: "node-registration" }),
  });
}

function podNetwork({ config, host, clients }: ServerParts): Component {
  return new PodNetwork({
    client: () => clients.get("kubelet"),
    nodeName: config.nodeName,
    confDir: config.paths.cniConfigDir,
    log: host.log.child({ component: "pod-network" }),
  });
}
