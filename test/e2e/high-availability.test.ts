import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test, type TestContext } from "node:test";
import { sleep } from "@k3s/async";
import { K3sServer, Program, TestHost, TestNetwork, until } from "@k3s/testkit";
import { AcknowledgedWrites, type ClusterAccess } from "./acknowledged-writes.ts";
import { answers, inviteAdmin, through } from "./agent-access.ts";
import { connectionsTo, homeOf } from "./agent-homes.ts";
import { CLUSTER_DATABASES, serverArguments, type ClusterDatabase } from "./cluster-databases.ts";
import { hintsReceived } from "./hints-received.ts";
import {
  API_BACK,
  API_DEAD,
  API_FROZEN,
  cutOff,
  FROZEN,
  killed,
  onBadPath,
  withoutDatabase,
  type ServerFault,
} from "./server-faults.ts";

const SECONDS = 1_000;
const LIMIT_MS = 120 * SECONDS;
/** Longer than the lease of a server that is gone, shorter than what makes a node NotReady. */
const OUTAGE_MS = 20 * SECONDS;
/** A healthy server gets its share after a minute and a half at most. */
const SPREAD_LIMIT_MS = 180 * SECONDS;
const IMAGE = "docker.io/library/busybox:local";
const WEB = "mkdir -p /tmp/www && hostname > /tmp/www/index.html && exec httpd -f -p 8080 -h /tmp/www";
const DATABASE_ADDRESS = "10.99.0.20";
const NODE_STATES = `jsonpath={range .items[*]}{.metadata.name} {range .status.conditions[?(@.type=="Ready")]}{.status} {.lastTransitionTime}{end}{"\\n"}{end}`;

interface ServerPlan {
  readonly name: string;
  readonly address: string;
  readonly args?: readonly string[];
}

interface Plan {
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

const TWO_SERVERS: Plan = {
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

const DEDICATED = ["--disable-agent"];
const TAINTED = ["--node-taint=node-role.kubernetes.io/master=true:NoExecute"];

const THREE_SERVERS: Plan = {
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

/** Servers on one database, and two agents. */
class Cluster {
  readonly plan: Plan;
  readonly servers: readonly K3sServer[];
  readonly agents: readonly K3sServer[];
  readonly network: TestNetwork;
  readonly #undo: AsyncDisposableStack;
  readonly #database: ClusterDatabase;
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

  /** Starts a server as planned, whatever happened to it before. */
  startServer(server: K3sServer, ...args: readonly string[]): void {
    const plan = this.plan.servers.find(({ name }) => name === server.host.name);
    const token = this.#token === "" ? [] : [`--token=${this.#token}`];
    const san = `--tls-san=${this.plan.registration}`;
    server.start(...serverArguments(this.#database), san, ...token, ...(plan?.args ?? []), ...args);
  }

  startAgent(agent: K3sServer): void {
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

for (const plan of [TWO_SERVERS, THREE_SERVERS]) {
  const { database, servers, registration, faults, mismatch } = plan;
  describe(
    `${servers.length} servers on ${database}, with agents that know ${registration}`,
    { timeout: 20 * 60 * SECONDS },
    () => {
      const undo = new AsyncDisposableStack();
      let cluster: Cluster;
      let admin: ClusterAccess;

      /** Nodes with their condition and when it began; `without` is left out. */
      const nodes = async (without?: string) => {
        const lines = (await admin.kubectl("get", "nodes", "-o", NODE_STATES)).trim().split("\n");
        return lines.filter((line) => line.split(" ")[0] !== without);
      };
      const explained = (error: unknown) => {
        throw new Error(`${String(error)}\n${cluster.logs()}`, { cause: error });
      };
      const untilTrue = (what: string, check: () => Promise<boolean>, limitMs = LIMIT_MS) =>
        until(what, check, limitMs).catch(explained);
      const fetch = async (from: string, to: string) => {
        const ip = await admin.kubectl("get", "pod", to, "-o", "jsonpath={.status.podIP}");
        return admin.kubectl("exec", from, "--", "busybox", "timeout", "3", "wget", "-qO-", `http://${ip}:8080/`);
      };

      before(async () => {
        cluster = await Cluster.create(plan, undo);
      });
      after(() => undo.disposeAsync());

      test("each server needs nothing but the endpoint and the token", async () => {
        const [first, ...others] = cluster.servers;
        assert.ok(first !== undefined);
        cluster.startServer(first);
        await until("the first server answers", () => first.kubectl("get", "--raw=/readyz"), LIMIT_MS).catch(explained);
        await cluster.readToken(first);
        for (const other of others) cluster.startServer(other);
        for (const other of others)
          await until("another server answers", () => other.kubectl("get", "--raw=/readyz"), LIMIT_MS).catch(explained);
        const endpoints = () =>
          first.kubectl("get", "endpoints", "kubernetes", "-o", "jsonpath={.subsets[*].addresses[*].ip}");
        await untilTrue("all servers are known", async () => (await endpoints()).split(" ").length === servers.length);
      });

      if (database === "MariaDB")
        test("servers tell each other of what they write, as this database does not", async () => {
          for (const writer of cluster.servers) {
            const others = cluster.servers.filter((server) => server !== writer);
            const before = await Promise.all(others.map(hintsReceived));
            await writer.kubectl("create", "configmap", `of-${writer.host.name}`);
            for (const [i, other] of others.entries())
              await untilTrue("it is told", async () => (await hintsReceived(other)) > (before[i] ?? 0));
          }
        });

      test("agents join by the address in front of the servers", async () => {
        await plan.register(cluster);
        const [agent] = cluster.agents;
        const [server] = cluster.servers;
        assert.ok(agent !== undefined && server !== undefined);
        for (const one of cluster.agents) {
          cluster.startAgent(one);
          await inviteAdmin(one, server);
        }
        admin = through(agent);
        const expected = servers.filter(({ args = [] }) => args !== DEDICATED).length + cluster.agents.length;
        await untilTrue("all nodes are Ready", async () => {
          const found = await nodes();
          return found.length === expected && found.every((line) => line.includes(" True "));
        });
        for (const { host } of cluster.servers)
          for (const one of cluster.agents)
            await untilTrue("there is a tunnel", async () => (await connectionsTo(one, host.address)) > 0);
      });

      test("pods talk across nodes", async () => {
        await until("there is a service account", () => admin.kubectl("get", "serviceaccount", "default"));
        for (const { host } of cluster.agents) {
          const overrides = JSON.stringify({ spec: { nodeName: host.name, terminationGracePeriodSeconds: 0 } });
          const options = [`--image=${IMAGE}`, "--image-pull-policy=Never", "--overrides", overrides];
          await admin.kubectl("run", `on-${host.name}`, ...options, "--", "sh", "-c", WEB);
        }
        await admin.kubectl("wait", "--for=condition=Ready", "pod/on-agt1", "pod/on-agt2", "--timeout=55s");
        await untilTrue("one pod answers the other", async () => (await fetch("on-agt1", "on-agt2")) === "on-agt2");
        await untilTrue("and the other way", async () => (await fetch("on-agt2", "on-agt1")) === "on-agt1");
        const on = await admin.kubectl("get", "pods", "-A", "-o", `jsonpath={.items[*].spec.nodeName}`);
        for (const { name, args } of servers) if (args !== undefined) assert.ok(!on.split(" ").includes(name));
      });

      const withNodes = servers.filter(({ args = [] }) => args !== DEDICATED);
      if (withNodes.length > 1)
        test("each server reaches the pods of every other server", async () => {
          for (const { name } of withNodes) {
            const overrides = JSON.stringify({ spec: { nodeName: name, terminationGracePeriodSeconds: 0 } });
            const options = [`--image=${IMAGE}`, "--image-pull-policy=Never", "--overrides", overrides];
            await admin.kubectl("run", `on-${name}`, ...options, "--", "sh", "-c", `echo hello; ${WEB}`);
          }
          const pods = withNodes.map(({ name }) => `on-${name}`);
          await admin.kubectl("wait", "--for=condition=Ready", ...pods.map((pod) => `pod/${pod}`), "--timeout=55s");
          for (const server of cluster.servers)
            for (const pod of pods) {
              const isLogged = async () => (await server.kubectl("logs", pod)) === "hello";
              await untilTrue(`${server.host.name} has the logs of ${pod}`, isLogged);
              assert.equal(await server.kubectl("exec", pod, "--", "hostname"), pod);
            }
          await admin.kubectl("delete", "pod", ...pods);
        });

      test("a server with other settings is refused, with both values", async () => {
        const last = cluster.servers.at(-1);
        assert.ok(last !== undefined);
        assert.equal(await last.stop(), 0);
        cluster.startServer(last, ...mismatch.args);
        assert.equal(await last.ended(), 1);
        assert.match(last.log, mismatch.said);
        cluster.startServer(last);
        await until("the server answers", () => last.kubectl("get", "--raw=/readyz"), LIMIT_MS).catch(explained);
      });

      /** Lets something happen to a server while ConfigMaps are written through an agent. Tells how long each agent was without an API. */
      async function survive(fault: ServerFault, server: K3sServer): Promise<string> {
        const { name } = server.host;
        const known = await nodes(name);
        await using writes = new AcknowledgedWrites(admin);
        await until("writes are served", () => Promise.resolve(writes.names.length > 2));
        const heardFrom = server.log.length; // an earlier fault may have made it say the same
        const begunAt = performance.now();
        await fault.begin(server);
        const waits = cluster.agents.map(async (agent) => {
          await untilTrue(`the API answers on ${agent.host.name}`, () => answers(agent));
          return `${agent.host.name} ${(performance.now() - begunAt).toFixed(0)} ms`;
        });
        const told = (await Promise.all(waits)).join(", ");
        const count = writes.names.length;
        await untilTrue("writes are served again", () => Promise.resolve(writes.names.length > count + 2));
        await sleep(Math.max(0, begunAt + (fault.lastsMs ?? OUTAGE_MS) - performance.now()));
        const { said } = fault;
        if (said !== undefined)
          await untilTrue("the server says so", () => Promise.resolve(said.test(server.log.slice(heardFrom))));
        assert.deepEqual(await nodes(name), known);
        await untilTrue("exec reaches an agent", async () => (await fetch("on-agt1", "on-agt2")) === "on-agt2");
        await fault.end(server);
        await until(`${name} answers again`, () => server.kubectl("get", "--raw=/readyz"), LIMIT_MS).catch(explained);
        await until(`${name} reaches an agent`, () => server.kubectl("logs", "on-agt2"), LIMIT_MS).catch(explained);
        await writes.stop();
        const found = (await admin.kubectl("get", "configmaps", "-o", "name")).split("\n");
        assert.deepEqual(
          writes.names.filter((written) => !found.includes(`configmap/${written}`)),
          [],
        );
        assert.deepEqual(await nodes(name), known);
        await untilTrue("all nodes are Ready", async () => (await nodes()).every((line) => line.includes(" True ")));
        return `the API answered again on ${told}`;
      }

      for (const [name, what] of faults)
        test(`${name} is ${what}: the others go on, nothing is lost, and it comes back`, async (t: TestContext) => {
          const kill = killed((server) => cluster.startServer(server));
          const onNetwork = [cutOff(cluster.network), onBadPath(cluster.network), withoutDatabase(DATABASE_ADDRESS)];
          const all = [kill, FROZEN, API_FROZEN, ...onNetwork];
          const fault = all.find((one) => one.what === what);
          assert.ok(fault !== undefined);
          t.diagnostic(await survive(fault, cluster.server(name)));
        });

      test("when all servers lose the database, agents wait for any of them, and come back", async () => {
        const heard = cluster.servers.map((server) => ({ server, from: server.log.length }));
        const said = (text: RegExp) =>
          Promise.resolve(heard.every(({ server, from }) => text.test(server.log.slice(from))));
        await cluster.database.freeze();
        try {
          await untilTrue("all servers close their tunnels", () => said(API_DEAD));
        } finally {
          await cluster.database.thaw();
        }
        await untilTrue("all servers take agents again", () => said(API_BACK));
        for (const agent of cluster.agents)
          await untilTrue(`the API answers on ${agent.host.name}`, () => answers(agent));
        for (const server of cluster.servers)
          await untilTrue(`${server.host.name} reaches an agent`, async () => {
            await server.kubectl("logs", "on-agt2");
            return true;
          });
        await untilTrue("all nodes are Ready", async () => (await nodes()).every((line) => line.includes(" True ")));
      });

      test("the load spreads again: each agent goes back to a server of its own", async () => {
        const addresses = servers.map(({ address }) => address);
        const homes = cluster.agents.map(({ host }) => homeOf(host.name, addresses));
        assert.equal(new Set(homes).size, homes.length); // by the choice of their names
        for (const [i, agent] of cluster.agents.entries())
          await untilTrue(
            `${agent.host.name} is on ${homes[i]}`,
            async () => {
              const counts = await Promise.all(addresses.map((address) => connectionsTo(agent, address)));
              const most = Math.max(...counts);
              return addresses.every((address, n) => (counts[n] === most) === (address === homes[i]));
            },
            SPREAD_LIMIT_MS,
          );
      });
    },
  );
}
