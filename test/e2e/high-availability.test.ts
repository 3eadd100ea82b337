import assert from "node:assert/strict";
import { after, before, describe, test, type TestContext } from "node:test";
import { sleep } from "@k3s/async";
import { until, type K3sServer } from "@k3s/testkit";
import { AcknowledgedWrites, type ClusterAccess } from "./acknowledged-writes.ts";
import { answers, inviteAdmin, through } from "./agent-access.ts";
import { connectionsTo, homeOf } from "./agent-homes.ts";
import { hintsReceived } from "./hints-received.ts";
import { Cluster, DATABASE_ADDRESS, DEDICATED, THREE_SERVERS, TWO_SERVERS } from "./server-cluster.ts";
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
const NODE_STATES = `jsonpath={range .items[*]}{.metadata.name} {range .status.conditions[?(@.type=="Ready")]}{.status} {.lastTransitionTime}{end}{"\\n"}{end}`;
const NODE_REPORTS = NODE_STATES.replace("lastTransitionTime", "lastHeartbeatTime");

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
      /** Whether each node is Ready by what its kubelet said since it was last started. A new kubelet may first say that it is not. */
      const areReported = async () => {
        const lines = (await admin.kubectl("get", "nodes", "-o", NODE_REPORTS)).trim().split("\n");
        return lines.every((line) => {
          const [name = "", status, heardAt = ""] = line.split(" ");
          return status === "True" && Date.parse(heardAt) + SECONDS > cluster.startedAt(name);
        });
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
          await admin.kubectl("delete", "pod", "--wait=false", ...pods);
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
        await untilTrue("all nodes are Ready again", areReported);
      });

      /** What has to hold while a server has a fault. Tells how long each agent was without an API. */
      async function endure(fault: ServerFault, server: K3sServer, writes: AcknowledgedWrites): Promise<string> {
        const { name } = server.host;
        const known = await nodes(name);
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
        return `the API answered again on ${told}`;
      }

      /** Lets something happen to a server while ConfigMaps are written through an agent, and ends it. */
      async function survive(fault: ServerFault, server: K3sServer): Promise<string> {
        const { name } = server.host;
        const known = await nodes(name);
        await using writes = new AcknowledgedWrites(admin);
        await until("writes are served", () => Promise.resolve(writes.names.length > 2));
        const told = await endure(fault, server, writes).catch(async (error: unknown) => {
          await fault.end(server).catch(() => undefined); // the next test begins with a whole cluster
          return explained(error);
        });
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
        await untilTrue("all nodes are Ready again", areReported);
        return told;
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
