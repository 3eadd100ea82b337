import { readFile } from "node:fs/promises";
import { ClusterClient } from "@k3s/cluster-client";
import type { ClusterConfig } from "@k3s/cluster-config";
import type { AgentConfig } from "@k3s/config";
import type { Component } from "@k3s/lifecycle";
import { LoadBalancer, LoadBalancerMetrics } from "@k3s/loadbalancer";
import type { Logger } from "@k3s/log";
import { MetricsRegistry } from "@k3s/metrics";
import { ApiClients } from "@k3s/node";
import { agentPaths } from "@k3s/pki";
import { Membership } from "./membership.ts";
import { nodeTunnels } from "./node-tunnels.ts";

const BALANCER = "k3s-agent-load-balancer";

/** What a machine has once it is a member of a cluster. */
export interface Joined {
  readonly cluster: ClusterConfig;
  /** What keeps it a member: certificates, connections as the agent itself, tunnels. To be started in this order. */
  readonly components: readonly Component[];
}

/** A machine on its way into a cluster, without the programs of a node. */
export class Member {
  /** To be started first: the way to the servers. */
  readonly balancer: LoadBalancer;
  readonly #config: AgentConfig;
  readonly #log: Logger;

  constructor(config: AgentConfig, log: Logger, metrics = new MetricsRegistry()) {
    this.#config = config;
    this.#log = log;
    this.balancer = new LoadBalancer({
      name: BALANCER,
      serverUrl: config.server,
      folder: config.paths.agentEtcDir,
      listen: { host: config.loopbackAddress, port: config.lbServerPort },
      log: log.child({ component: BALANCER }),
      homeKey: config.nodeName,
      metrics: new LoadBalancerMetrics(metrics),
    });
  }

  /** Waits for a server. Rejects with NodeError when the machine cannot become, or stay, a member. */
  async join(signal: AbortSignal): Promise<Joined> {
    const config = this.#config;
    const server = this.balancer.localUrl;
    const membership = new Membership({ config, server, log: this.#log.child({ component: "membership" }) });
    const cluster = await membership.join(signal);
    const files = agentPaths(config.paths.agentDir);
    const identities = [{ name: "k3s-controller", pair: files.clientK3sController }];
    const clients = new ApiClients({ server, caFile: files.serverCa, identities });
    return { cluster, components: [membership, clients, this.#tunnels(cluster, clients)] };
  }

  #tunnels(cluster: ClusterConfig, clients: ApiClients): Component {
    const files = agentPaths(this.#config.paths.agentDir);
    const log = this.#log.child({ component: "servers" });
    const server = new URL(this.balancer.localUrl);
    const ask = async (signal: AbortSignal) => {
      const trust = { server, ca: await readFile(files.serverCa), token: undefined };
      const supervisor = new ClusterClient({ trust, pair: files.clientKubelet, log });
      return parseAddresses(await supervisor.get("/v1-k3s/apiservers", signal));
    };
    return nodeTunnels({
      config: this.#config,
      egressSelectorMode: cluster.egressSelectorMode,
      clusterCidrs: cluster.clusterCidrs,
      client: () => clients.get("k3s-controller"),
      servers: { balancer: this.balancer, ask },
      log,
    });
  }
}

function parseAddresses(text: Buffer): readonly string[] {
  const value: unknown = JSON.parse(text.toString("utf8"));
  return Array.isArray(value) ? value.filter((address) => typeof address === "string") : [];
}
