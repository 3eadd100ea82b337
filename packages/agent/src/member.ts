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
import { dialRules } from "./dial-rules.ts";
import { Membership } from "./membership.ts";
import { ServerDirectory } from "./server-directory.ts";

const BALANCER = "k3s-agent-load-balancer";
const KUBELET_PORT = 10_250;

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
    return { cluster, components: [membership, clients, await this.#directory(cluster, clients)] };
  }

  async #directory(cluster: ClusterConfig, clients: ApiClients): Promise<Component> {
    const files = agentPaths(this.#config.paths.agentDir);
    const log = this.#log.child({ component: "servers" });
    const [ca, cert, key] = await Promise.all(
      [files.serverCa, files.clientKubelet.cert, files.clientKubelet.key].map((path) => readFile(path)),
    );
    const trust = { server: new URL(this.balancer.localUrl), ca, token: undefined };
    const supervisor = new ClusterClient({ trust, pair: files.clientKubelet, log });
    const rules = dialRules({
      kubeletPort: kubeletPort(this.#config.kubeletArg),
      kubeletHost: this.#config.bindAddress ?? this.#config.loopbackAddress,
      ranges: cluster.egressSelectorMode === "cluster" ? [...cluster.clusterCidrs, ...this.#ownRanges()] : [],
    });
    return new ServerDirectory({
      balancer: this.balancer,
      client: () => clients.get("k3s-controller"),
      ask: async (signal) => parseAddresses(await supervisor.get("/v1-k3s/apiservers", signal)),
      rules,
      tls: () => ({ ca, cert, key }),
      log,
    });
  }

  #ownRanges(): readonly string[] {
    return this.#config.nodeIp.map((ip) => `${ip}/${ip.includes(":") ? 128 : 32}`);
  }
}

/** `port` of the kubelet's arguments; the last one counts. */
function kubeletPort(args: readonly string[]): number {
  const given = args.findLast((argument) => argument.startsWith("port="));
  return given === undefined ? KUBELET_PORT : Number(given.slice("port=".length));
}

function parseAddresses(text: Buffer): readonly string[] {
  const value: unknown = JSON.parse(text.toString("utf8"));
  return Array.isArray(value) ? value.filter((address) => typeof address === "string") : [];
}
