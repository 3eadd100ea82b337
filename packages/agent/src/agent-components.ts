import { readFile } from "node:fs/promises";
import { ClusterClient } from "@k3s/cluster-client";
import type { ClusterConfig } from "@k3s/cluster-config";
import type { AgentConfig } from "@k3s/config";
import { assembled, type Component } from "@k3s/lifecycle";
import { LoadBalancer } from "@k3s/loadbalancer";
import {
  ApiClients,
  childEnvironment,
  ClusterNode,
  leftovers,
  recordsPlace,
  unpackPrograms,
  type ClusterNetwork,
  type NodeHost,
} from "@k3s/node";
import { agentPaths } from "@k3s/pki";
import { ZombieReaper } from "@k3s/process";
import { dialRules } from "./dial-rules.ts";
import { Membership } from "./membership.ts";
import { ServerDirectory } from "./server-directory.ts";

const BALANCER = "k3s-agent-load-balancer";
const KUBELET_PORT = 10_250;

/** An agent as an ordered list. It is up once its node is a member of the cluster and pods can have addresses. */
export function agentComponents(config: AgentConfig, host: NodeHost): readonly Component[] {
  const { log } = host;
  const reaper = process.pid === 1 ? [new ZombieReaper(log)] : [];
  const balancer = new LoadBalancer({
    name: BALANCER,
    serverUrl: config.server,
    folder: config.paths.agentEtcDir,
    listen: { host: config.loopbackAddress, port: config.lbServerPort },
    log: log.child({ component: BALANCER }),
    homeKey: config.nodeName,
  });
  return [
    ...reaper,
    leftovers(config, host),
    balancer,
    assembled("agent", (signal) => new Agent(config, host, balancer).parts(signal)),
  ];
}

class Agent {
  readonly #config: AgentConfig;
  readonly #host: NodeHost;
  readonly #balancer: LoadBalancer;

  constructor(config: AgentConfig, host: NodeHost, balancer: LoadBalancer) {
    this.#config = config;
    this.#host = host;
    this.#balancer = balancer;
  }

  async parts(signal: AbortSignal): Promise<readonly Component[]> {
    const config = this.#config;
    const host = this.#host;
    const server = this.#balancer.localUrl;
    const membership = new Membership({ config, server, log: this.#log("membership") });
    const [set, cluster] = await Promise.all([unpackPrograms(config.dataDir, host, signal), membership.join(signal)]);
    const network = networkOf(cluster);
    const env = childEnvironment({ config, cluster: network, set, inherited: host.env });
    const files = agentPaths(config.paths.agentDir);
    const apiServer = { server, caFile: files.serverCa };
    const identities = [{ name: "k3s-controller", pair: files.clientK3sController }];
    const clients = new ApiClients({ ...apiServer, identities });
    const identity: Component = { name: "identity", start: () => Promise.resolve(), stop: () => Promise.resolve() };
    const records = await recordsPlace(config);
    const node = new ClusterNode({ config, cluster: network, host, set, env, records, apiServer, identity });
    return [membership, clients, await this.#directory(cluster, clients), node.runtime, node.membership];
  }

  async #directory(cluster: ClusterConfig, clients: ApiClients): Promise<Component> {
    const files = agentPaths(this.#config.paths.agentDir);
    const log = this.#log("servers");
    const [ca, cert, key] = await Promise.all(
      [files.serverCa, files.clientKubelet.cert, files.clientKubelet.key].map((path) => readFile(path)),
    );
    const trust = { server: new URL(this.#balancer.localUrl), ca, token: undefined };
    const supervisor = new ClusterClient({ trust, pair: files.clientKubelet, log });
    const rules = dialRules({
      kubeletPort: kubeletPort(this.#config.kubeletArg),
      kubeletHost: this.#config.bindAddress ?? this.#config.loopbackAddress,
      ranges: cluster.egressSelectorMode === "cluster" ? [...cluster.clusterCidrs, ...this.#ownRanges()] : [],
    });
    return new ServerDirectory({
      balancer: this.#balancer,
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

  #log(component: string) {
    return this.#host.log.child({ component });
  }
}

function networkOf(cluster: ClusterConfig): ClusterNetwork {
  const { clusterDns, clusterDomain, flannelBackend, flannelExternalIp } = cluster;
  const { disableKubeProxy, disableCloudController, disableServiceLb } = cluster;
  return {
    ...{ clusterDns, clusterDomain, flannelBackend, flannelExternalIp },
    ...{ disableKubeProxy, disableCloudController, disableServiceLb },
    clusterCidr: cluster.clusterCidrs,
    serviceCidr: cluster.serviceCidrs,
  };
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
