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
  readonly componentsDir: string;
  readonly manifestsDir: string;
  readonly executable: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly args: readonly string[];
}

/** A node that is about to start: what it was told, what it needs and what it consists of. */
export interface NodePlan {
  readonly config: NodeConfig;
  readonly ports: readonly NeededPort[];
  /** Files that are written outside of the data dir. */
  readonly places: readonly string[];
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
    config,
    ports: serverPorts(config),
    places: [config.writeKubeconfig],
    components: async (host) => (await import("@k3s/server")).serverComponents(config, host),
    upMessage: "k3s is up, see the cluster with: k3s kubectl get nodes",
  };
}

function agentPlan(config: AgentConfig): NodePlan {
  const balancer = { port: config.lbServerPort, purpose: "the load balancer", address: config.loopbackAddress };
  return {
    config,
    ports: [...(config.disableApiserverLb ? [] : [balancer]), ...agentPorts({ ...config, disableKubeProxy: false })],
    places: [],
    components: async (host) => (await import("@k3s/agent")).agentComponents(config, host),
    upMessage: "k3s agent is up, its node is a member of the cluster",
  };
}
