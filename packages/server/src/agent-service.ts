import { readFile } from "node:fs/promises";
import {
  agentRoutes,
  ApiServerAddresses,
  NodeCheck,
  NodeNames,
  NodePasswordKeeper,
  NodePasswords,
  ServerNames,
  TokenReviewer,
} from "@k3s/agent-endpoints";
import { encodeClusterConfig } from "@k3s/cluster-config";
import type { KubeClient } from "@k3s/kube-client";
import { atOnce, type Component } from "@k3s/lifecycle";
import type { Logger } from "@k3s/log";
import { serverCredPaths } from "@k3s/pki";
import { failures, RouteRefusal, type Routes, type TokenCheck, type UpgradeRoute } from "@k3s/supervisor-api";
import { ensureNodePassword } from "@k3s/token";
import { CONNECT_PATH, TunnelServer } from "@k3s/tunnel";
import type { ApiHealth } from "./api-health.ts";
import { electedPart, k3sTimes } from "./elected-part.ts";
import { clusterFacts } from "./cluster-facts.ts";
import { Egress } from "./egress.ts";
import { guardOwnName } from "./guard-own-name.ts";
import type { ServerParts } from "./server-parts.ts";

/** Members of the group of nodes that are no node; as k3s answers them. */
const NOT_A_NODE = { code: 401, reason: "Unauthorized", message: "failed authentication" };

/** Everything a server does for agents that join and stay. */
export class AgentService {
  readonly tokens: TokenCheck;
  readonly #parts: ServerParts;
  readonly #health: Pick<ApiHealth, "isGood">;
  readonly #log: Logger;
  readonly #stopping = new AbortController();
  readonly #passwords: NodePasswords;
  readonly #addresses: ApiServerAddresses;
  readonly #servers: ServerNames;
  readonly #tunnels: TunnelServer;
  readonly #egress: Egress;
  #isCoreReady = false;

  constructor(parts: ServerParts, health: Pick<ApiHealth, "isGood">) {
    this.#parts = parts;
    this.#health = health;
    this.#log = parts.host.log.child({ component: "agents" });
    this.#passwords = new NodePasswords(this.#log, this.#stopping.signal);
    this.#addresses = new ApiServerAddresses(this.#client, this.#log);
    this.#servers = new ServerNames({
      servingSans: parts.config.servingSans,
      externalIps: parts.config.nodeExternalIp,
      apiServers: () => this.#addresses.addresses,
    });
    this.#tunnels = new TunnelServer({ log: this.#log });
    this.#egress = this.#makeEgress();
    this.tokens = new TokenReviewer(this.#client);
  }

  /** For the one port. */
  get routes(): Routes {
    const { config } = this.#parts;
    const local = { name: config.nodeName, password: () => this.#localPassword() };
    const paths = agentRoutes({
      serverDir: config.paths.serverDir,
      config: () => this.#document(),
      apiServers: () => this.#addresses.addresses,
      isCoreReady: () => this.#isCoreReady,
      nodeCheck: new NodeCheck({
        client: () => (this.#isCoreReady ? this.#client() : undefined),
        passwords: this.#passwords,
        localNode: config.disableAgent ? undefined : local,
        log: this.#log,
      }),
      nodeNames: this.#nodeNames(),
    });
    return { paths, upgrades: new Map([[CONNECT_PATH, this.#tunnelRoute()]]), connect: this.#egress.route };
  }

  /** Runs once the API serves; after its start agents may go on. */
  get component(): Component {
    const keeper = electedPart(this.#parts, {
      name: "k3s-controllers",
      lease: "k3s",
      times: k3sTimes,
      members: () => [new NodePasswordKeeper({ client: this.#client, log: this.#log })],
    });
    return atOnce("agents", [this.#addresses, keeper, this.#egress, this.#opening()]);
  }

  /** Sends agents to other servers: while the API is not good, none is taken. */
  endTunnels(): void {
    this.#tunnels.endSessions();
  }

  #nodeNames(): NodeNames {
    const { config } = this.#parts;
    return new NodeNames({
      servers: this.#servers,
      serviceCidrs: config.serviceCidr,
      holderOf: (ip) => this.#egress.holderOf(ip),
      localNode: this.#localNode,
      log: this.#log,
    });
  }

  get #localNode(): string | undefined {
    const { disableAgent, nodeName } = this.#parts.config;
    return disableAgent ? undefined : nodeName;
  }

  #makeEgress(): Egress {
    const { config, host } = this.#parts;
    // Where pods have a network of the user's own, they may have addresses among those of the nodes.
    const arePodsInRanges = config.flannelBackend !== "none";
    const podRanges = arePodsInRanges ? config.clusterCidr : [];
    return new Egress({
      mode: config.egressSelectorMode,
      local: { nodeName: config.nodeName, kubeletHost: config.bindAddress ?? config.loopbackAddress },
      localNode: this.#localNode,
      servers: this.#servers,
      arePodsInRanges,
      foreignRanges: [...config.serviceCidr, ...podRanges],
      tunnels: this.#tunnels,
      client: this.#client,
      log: host.log.child({ component: "egress" }),
    });
  }

  #tunnelRoute(): UpgradeRoute {
    return {
      groups: ["system:nodes"],
      upgrade: ({ caller, remoteAddress, request, accept }) => {
        const nodeName = /^system:node:(.+)$/.exec(caller.name)?.[1];
        if (nodeName === undefined) throw new RouteRefusal(NOT_A_NODE);
        if (!this.#health.isGood) throw new RouteRefusal(failures.apiserverNotReady);
        const { socket, early: head } = accept();
        this.#tunnels.accept({ request, socket, head, nodeName, remoteAddress });
      },
    };
  }

  #opening(): Component {
    const { config, datastore } = this.#parts;
    const passwords = this.#passwords;
    const client = this.#client;
    return {
      name: "agents-welcome",
      start: async ({ signal }) => {
        if (!config.disableAgent)
          await guardOwnName({ config, isShared: datastore.isShared, passwords, client, log: this.#log }, signal);
        this.#isCoreReady = true;
      },
      stop: async () => {
        this.#isCoreReady = false;
        this.#stopping.abort(new Error("it is being stopped"));
        await this.#tunnels.close();
      },
    };
  }

  #client = (): KubeClient => this.#parts.clients.get("supervisor");

  #localPassword(): Promise<string> {
    return ensureNodePassword({ path: this.#parts.config.paths.nodePasswordFile });
  }

  async #document(): Promise<string> {
    const { config } = this.#parts;
    const psk = await readFile(serverCredPaths(config.paths.serverDir).ipsecPsk, "utf8");
    return encodeClusterConfig(clusterFacts(config, psk.trim()));
  }
}
