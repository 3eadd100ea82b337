import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { K3sServer, Program, TestHost, TestNetwork } from "@k3s/testkit";
import { CLUSTER_DATABASES, serverArguments, type ClusterDatabase } from "./cluster-databases.ts";

/** Of the host that the database runs on. */
export const DATABASE_ADDRESS = "10.99.0.20";

interface ServerPlan {
  readonly name: string;
  readonly address: string;
  readonly args?: readonly string[];
}

/** A cluster, and what has to happen to it. */
export interface Plan {
  readonly database: "MariaDB" | "PostgreSQL";
  readonly servers: readonly [ServerPlan, ServerPlan, ...ServerPlan[]];
  /** Host name or address under which agents know the cluster, for as long as it lasts. */
  readonly registration: string;
  /** Brings what stands behind that name. */
  readonly register: (cluster: Cluster) => Promise<void>;
  /** Which server each fault happens to. */
  readonly faults: readonly (readonly [string, string])[];
  /** Settings that another server of the cluster may not have, and what is said of them. */
  readonly mismatch: { readonly args: readonly string[]; readonly said: RegExp };
}

/** Agents know a balancer in front of the servers. Every server is a node. */
export const TWO_SERVERS: Plan = {
  database: "MariaDB",
  servers: [
    { name: "srv1", address: "10.99.0.11" },
    { name: "srv2", address: "10.99.0.12" },
  ],
  registration: "10.99.0.10",
  register: (cluster) => cluster.startBalancer("10.99.0.10"),
  faults: [
    ["srv1", "killed"],
    ["srv2", "frozen"],
    ["srv1", "cut off"],
    ["srv2", "on a bad path"],
    ["srv2", "left with a frozen API"],
    ["srv1", "left without its database"],
  ],
  mismatch: { args: ["--cluster-cidr=10.50.0.0/16"], said: /cluster-cidr.*10\.(?:42|50)\.0\.0.*10\.(?:42|50)\.0\.0/ },
};

/** Arguments of a server that is no node. */
export const DEDICATED = ["--disable-agent"];
const TAINTED = ["--node-taint=node-role.kubernetes.io/master=true:NoExecute"];

/** Agents know a name with an address of each server. None takes pods of users. */
export const THREE_SERVERS: Plan = {
  database: "PostgreSQL",
  servers: [
    { name: "srv1", address: "10.99.0.11", args: DEDICATED },
    { name: "srv2", address: "10.99.0.12", args: DEDICATED },
    { name: "srv3", address: "10.99.0.13", args: TAINTED },
  ],
  registration: "cluster.test",
  register: (cluster) => cluster.nameServers("cluster.test"),
  faults: [
    ["srv2", "killed"],
    ["srv3", "frozen"],
    ["srv1", "cut off"],
    ["srv3", "on a bad path"],
    ["srv2", "left without its database"],
  ],
  mismatch: {
    args: ["--cluster-domain=else.test"],
    said: /cluster-domain.*(?:else\.test.*cluster\.local|cluster\.local.*else\.test)/,
  },
};

/** Servers on one database, and two agents, each on a host of its own. */
export class Cluster {
  readonly plan: Plan;
  readonly servers: readonly K3sServer[];
  readonly agents: readonly K3sServer[];
  readonly network: TestNetwork;
  readonly #undo: AsyncDisposableStack;
  readonly #database: ClusterDatabase;
  readonly #startedAt = new Map<string, number>();
  #token = "";

  private constructor(parts: Pick<Cluster, "plan" | "servers" | "agents" | "network">, rest: Rest) {
    this.plan = parts.plan;
    this.servers = parts.servers;
    this.agents = parts.agents;
    this.network = parts.network;
    this.#undo = rest.undo;
    this.#database = rest.database;
  }

  static async create(plan: Plan, undo: AsyncDisposableStack): Promise<Cluster> {
    const folder = await mkdtemp(join(tmpdir(), "k3s-e2e-ha-"));
    undo.defer(() => rm(folder, { recursive: true, force: true }));
    const network = undo.use(await TestNetwork.create());
    const host = async (name: string, address: string) => undo.use(await TestHost.create({ name, address, network }));
    const machine = async (name: string, address: string) => {
      const k3s = new K3sServer(await host(name, address));
      await k3s.provideImages();
      return k3s;
    };
    const { namespace, address } = await host("db", DATABASE_ADDRESS);
    const start = CLUSTER_DATABASES[plan.database];
    assert.ok(start !== undefined);
    const database = await start({ folder, network: namespace, address, undo });
    const servers: K3sServer[] = [];
    for (const { name, address: its } of plan.servers) servers.push(await machine(name, its));
    const agents = [await machine("agt1", "10.99.0.21"), await machine("agt2", "10.99.0.22")];
    return new Cluster({ plan, servers, agents, network }, { undo, database });
  }

  get database(): ClusterDatabase {
    return this.#database;
  }

  get machines(): readonly K3sServer[] {
    return [...this.servers, ...this.agents];
  }

  server(name: string): K3sServer {
    const found = this.servers.find(({ host }) => host.name === name);
    assert.ok(found !== undefined);
    return found;
  }

  /** When the machine was last told to start, in ms since the epoch. */
  startedAt(name: string): number {
    const at = this.#startedAt.get(name);
    assert.ok(at !== undefined);
    return at;
  }

  /** Starts a server as planned, whatever happened to it before. */
  startServer(server: K3sServer, ...args: readonly string[]): void {
    const plan = this.plan.servers.find(({ name }) => name === server.host.name);
    const token = this.#token === "" ? [] : [`--token=${this.#token}`];
    const san = `--tls-san=${this.plan.registration}`;
    this.#startedAt.set(server.host.name, Date.now());
    server.start(...serverArguments(this.#database), san, ...token, ...(plan?.args ?? []), ...args);
  }

  startAgent(agent: K3sServer): void {
    this.#startedAt.set(agent.host.name, Date.now());
    agent.join("--server", `https://${this.plan.registration}:6443`, "--token", this.#token);
  }

  async readToken(server: K3sServer): Promise<void> {
    this.#token = (await readFile(server.host.outside("/var/lib/rancher/k3s/server/token"), "utf8")).trim();
  }

  /** A plain TCP balancer in front of the servers. */
  async startBalancer(address: string): Promise<void> {
    const host = this.#undo.use(await TestHost.create({ name: "lb", address, network: this.network }));
    const folder = await mkdtemp(join(tmpdir(), "k3s-e2e-balancer-"));
    this.#undo.defer(() => rm(folder, { recursive: true, force: true }));
    const servers = this.servers.map(
      ({ host: { name, address: its } }) => `  server ${name} ${its}:6443 check inter 500`,
    );
    const timeouts = "  mode tcp\n  timeout connect 2s\n  timeout client 1h\n  timeout server 1h";
    const config = `defaults\n${timeouts}\nlisten k3s\n  bind ${address}:6443\n${servers.join("\n")}\n`;
    await writeFile(join(folder, "haproxy.cfg"), config);
    const args = ["-db", "-f", join(folder, "haproxy.cfg")];
    const balancer = await Program.start("haproxy", { args, cwd: folder, network: host.namespace });
    this.#undo.defer(() => balancer.stop());
  }

  /** A name with the addresses of all servers. */
  async nameServers(name: string): Promise<void> {
    const lines = this.servers.map(({ host: { address } }) => `${address} ${name}`).join("\n");
    for (const { host } of this.agents) await host.run("sh", "-c", `echo "${lines}" >> /etc/hosts`);
  }

  /** The end of what all machines wrote to their log. */
  logs(): string {
    return this.machines.map(({ host, log }) => `--- ${host.name}\n${log.slice(-6000)}`).join("\n");
  }
}

interface Rest {
  readonly undo: AsyncDisposableStack;
  readonly database: ClusterDatabase;
}
