import { readFile } from "node:fs/promises";
import { ClusterClient } from "@k3s/cluster-client";
import type { ClusterConfig } from "@k3s/cluster-config";
import type { AgentConfig } from "@k3s/config";
import type { Component } from "@k3s/lifecycle";
import {
  dialThrough,
  findProxy,
  LoadBalancer,
  LoadBalancerMetrics,
  parseServerUrl,
  type Dial,
} from "@k3s/loadbalancer";
import type { Logger } from "@k3s/log";
import { MetricsRegistry } from "@k3s/metrics";
import { ApiClients } from "@k3s/node";
import { agentPaths } from "@k3s/pki";
import { fitNodeIps } from "./fit-node-ips.ts";
import { Membership } from "./membership.ts";
import { nodeTunnels } from "./node-tunnels.ts";
import type { ServerDirectoryOptions } from "./server-directory.ts";

const BALANCER = "k3s-agent-load-balancer";
/** The programs of a node connect to that address by themselves, and they know of no proxy. */
const IN_VAIN =
  "K3S_AGENT_HTTP_PROXY_ALLOWED has no effect beside --disable-apiserver-lb: the server is reached without a proxy";

/** What a machine has once it is a member of a cluster. */
export interface Joined {
  /** With the addresses that the cluster has a use for. */
  readonly config: AgentConfig;
  readonly cluster: ClusterConfig;
  /** What keeps it a member: certificates, connections as the agent itself, tunnels. To be started in this order. */
  readonly components: readonly Component[];
}

interface MemberOptions {
  readonly metrics?: MetricsRegistry;
  /** Where a proxy is named. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/** A machine on its way into a cluster, without the programs of a node. */
export class Member {
  /** The way to the servers; undefined where the configuration wants none but the one of `--server`. */
  readonly balancer: LoadBalancer | undefined;
  readonly #config: AgentConfig;
  readonly #log: Logger;
  readonly #dial: Dial | undefined;

  /** Throws LoadBalancerError when the server's URL, or that of the proxy in front of it, cannot be used. */
  constructor(config: AgentConfig, log: Logger, { metrics = new MetricsRegistry(), env = {} }: MemberOptions = {}) {
    this.#config = config;
    this.#log = log;
    const dial = dialOf(config.server, env);
    if (config.disableApiserverLb) {
      if (dial !== undefined) log.warn({}, IN_VAIN);
      return;
    }
    this.#dial = dial;
    if (dial !== undefined) log.info({}, "servers are reached through the proxy of the environment");
    this.balancer = new LoadBalancer({
      name: BALANCER,
      serverUrl: config.server,
      folder: config.paths.agentEtcDir,
      listen: { host: config.loopbackAddress, port: config.lbServerPort },
      log: log.child({ component: BALANCER }),
      homeKey: config.nodeName,
      metrics: new LoadBalancerMetrics(metrics),
      ...(dial === undefined ? {} : { dial }),
    });
  }

  /** To be started first. */
  get components(): readonly Component[] {
    return this.balancer === undefined ? [] : [this.balancer];
  }

  /** Where programs of this machine reach the cluster; its port is known once {@link components} have started. */
  get server(): string {
    return this.balancer?.localUrl ?? this.#config.server;
  }

  /** Waits for a server. Rejects with NodeError when the machine cannot become, or stay, a member. */
  async join(signal: AbortSignal): Promise<Joined> {
    const config = this.#config;
    const { server } = this;
    const cause = () => this.balancer?.dialError;
    const membership = new Membership({ config, server, cause, log: this.#log.child({ component: "membership" }) });
    const cluster = await membership.join(signal);
    const fitted = fitNodeIps(config, cluster);
    const files = agentPaths(config.paths.agentDir);
    const identities = [{ name: "k3s-controller", pair: files.clientK3sController }];
    const clients = new ApiClients({ server, caFile: files.serverCa, identities });
    const tunnels = this.#tunnels({ config: fitted, cluster, clients });
    return { config: fitted, cluster, components: [membership, clients, tunnels] };
  }

  #knowledge(): Pick<ServerDirectoryOptions, "balancer" | "known"> {
    if (this.balancer !== undefined) return { balancer: this.balancer };
    return { known: [parseServerUrl(this.#config.server).address] };
  }

  #tunnels({ config, cluster, clients }: TunnelParts): Component {
    const files = agentPaths(config.paths.agentDir);
    const log = this.#log.child({ component: "servers" });
    const server = new URL(this.server);
    const ask = async (signal: AbortSignal) => {
      const trust = { server, ca: await readFile(files.serverCa), token: undefined };
      const supervisor = new ClusterClient({ trust, pair: files.clientKubelet, log });
      return parseAddresses(await supervisor.get("/v1-k3s/apiservers", signal));
    };
    return nodeTunnels({
      config,
      egressSelectorMode: cluster.egressSelectorMode,
      clusterCidrs: cluster.clusterCidrs,
      client: () => clients.get("k3s-controller"),
      servers: { ...this.#knowledge(), ask, ...(this.#dial === undefined ? {} : { dial: this.#dial }) },
      log,
    });
  }
}

/** k3s' condition: without this variable a proxy is for images and the like, not for the way to the servers. */
function dialOf(server: string, env: NonNullable<MemberOptions["env"]>): Dial | undefined {
  if (!/^(1|t|true)$/i.test(env["K3S_AGENT_HTTP_PROXY_ALLOWED"] ?? "")) return undefined;
  const proxy = findProxy(server, env);
  return proxy === undefined ? undefined : dialThrough(proxy);
}

interface TunnelParts {
  readonly config: AgentConfig;
  readonly cluster: ClusterConfig;
  readonly clients: ApiClients;
}

function parseAddresses(text: Buffer): readonly string[] {
  const value: unknown = JSON.parse(text.toString("utf8"));
  return Array.isArray(value) ? value.filter((address) => typeof address === "string") : [];
}
