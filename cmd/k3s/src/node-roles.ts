import type { ComponentSource } from "@k3s/components";
import {
  loadAgentConfig,
  loadServerConfig,
  type AgentConfig,
  type NodeConfig,
  type Role,
  type ServerConfig,
} from "@k3s/config";
import type { Component } from "@k3s/lifecycle";
import type { Logger } from "@k3s/log";
import { agentPorts, serverPorts, type NeededPort } from "./preflight/check-ports.ts";

/** What a node takes from the outside world besides its configuration. */
interface Host {
  readonly log: Logger;
  readonly components: ComponentSource;
  readonly readManifest: (name: string) => Promise<string>;
  readonly executable: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly args: readonly string[];
}

/** A node that is about to start: what it was told, what it needs and what it consists of. */
export interface NodePlan {
  readonly role: Role;
  readonly config: NodeConfig;
  readonly ports: readonly NeededPort[];
  /** Files that are written outside of the data dir. */
  readonly places: readonly string[];
  /** Ranges of pods and services. An agent learns its own only from its server: these are the defaults. */
  readonly ranges: readonly string[];
  /** Name of the node that this machine will be; undefined: none. */
  readonly node: string | undefined;
  readonly components: (host: Host) => Promise<readonly Component[]>;
  /** What the log says once everything has started. */
  readonly upMessage: string;
}

type Source = Parameters<typeof loadServerConfig>[0];

/** How each command that runs a node makes its plan. Rejects with ConfigError. */
export const ROLES: Readonly<Record<Role, (source: Source) => Promise<NodePlan>>> = {
  server: async (source) => serverPlan(await loadServerConfig(source)),
  agent: async (source) => agentPlan(await loadAgentConfig(source)),
};

function serverPlan(config: ServerConfig): NodePlan {
  return {
    role: "server",
    config,
    ports: serverPorts(config),
    places: [config.writeKubeconfig],
    ranges: [...config.clusterCidr, ...config.serviceCidr],
    node: config.disableAgent ? undefined : config.nodeName,
    components: async (host) => (await import("@k3s/server")).serverComponents(config, host),
    upMessage: "k3s is up, see the cluster with: k3s kubectl get nodes",
  };
}

function agentPlan(config: AgentConfig): NodePlan {
  const balancer = {
    ...{ port: config.lbServerPort, purpose: "the load balancer", flag: "--lb-server-port" },
    address: config.loopbackAddress,
  };
  return {
    role: "agent",
    config,
    ports: [...(config.disableApiserverLb ? [] : [balancer]), ...agentPorts({ ...config, disableKubeProxy: false })],
    places: [],
    ranges: ["10.42.0.0/16", "10.43.0.0/16"],
    node: config.nodeName,
    components: async (host) => (await import("@k3s/agent")).agentComponents(config, host),
    upMessage: "k3s agent is up, its node is a member of the cluster",
  };
}
