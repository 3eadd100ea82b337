import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { after, before, describe, test } from "node:test";
import { sleep } from "@k3s/async";
import { K3sServer, TestHost, TestNetwork, until } from "@k3s/testkit";
import { AcknowledgedWrites } from "./acknowledged-writes.ts";
import { answers, inviteAdmin, through } from "./agent-access.ts";
import { cutOff, FROZEN, killed, onBadPath } from "./server-faults.ts";

const SECONDS = 1_000;
const LIMIT_MS = 120 * SECONDS;
const URL = "https://10.99.0.11:6443";
const IMAGE = "docker.io/library/busybox:local";
/** Shorter than what makes a node NotReady. */
const OUTAGE_MS = 15 * SECONDS;
/** Of a router in front of a node; nothing here leads there. */
const EXTERNAL = "198.51.100.13";
const ID_FILE = "/etc/rancher/node/id";
const SERVER_ARGS = ["--supervisor-metrics", "--enable-pprof", "--flannel-backend=host-gw"];
/** Serves the pod's name. */
const WEB = "hostname > /www/index.html; echo hello from $(hostname); exec httpd -f -p 8080 -h /www";

describe("one server and two agents", { timeout: 15 * 60 * SECONDS }, () => {
  const undo = new AsyncDisposableStack();
  let network: TestNetwork;
  let server: K3sServer;
  let agents: readonly [K3sServer, K3sServer];
  let token = "";

  const node = async (name: string, address: string): Promise<K3sServer> => {
    const k3s = new K3sServer(undo.use(await TestHost.create({ name, address, network })));
    await k3s.provideImages();
    return k3s;
  };
  const get = (...args: readonly string[]) => server.kubectl("get", ...args);
  const ready = async (name: string) =>
    (await get("node", name, "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].status}`)) === "True";
  const untilReady = (name: string) => until(`node ${name} is Ready`, () => ready(name), LIMIT_MS).catch(explained);
  const startedAt = (pod: string) =>
    get("pod", pod, "-o", "jsonpath={.status.containerStatuses[0].state.running.startedAt}");
  /** Of a service account: the one that kube-apiserver makes a secret for, as up to 1.23. */
  const tokenOf = async (account: string): Promise<string> => {
    const secret = await until("there is a token", async () => {
      const name = await get("serviceaccount", account, "-o", "jsonpath={.secrets[0].name}");
      return name === "" ? undefined : name;
    });
    const encoded = await get("secret", secret, "-o", "jsonpath={.data.token}");
    return Buffer.from(encoded, "base64").toString("utf8");
  };
  const joinCluster = (agent: K3sServer, ...args: readonly string[]) =>
    agent.join("--server", URL, "--token", token, ...args);
  const startServer = () => {
    server.start(...SERVER_ARGS);
  };
  const explained = (error: unknown) => {
    const log = [server, ...agents].map((one) => `--- ${one.host.name}\n${one.log.slice(-8000)}`).join("\n");
    throw new Error(`${String(error)}\n${log}`, { cause: error });
  };
  const runWeb = async (name: string): Promise<void> => {
    const overrides = JSON.stringify({ spec: { nodeName: name, terminationGracePeriodSeconds: 1 } });
    const options = [`--image=${IMAGE}`, "--image-pull-policy=Never", "--overrides", overrides];
    await server.kubectl("run", `on-${name}`, ...options, "--", "sh", "-c", WEB);
  };

  before(async () => {
    network = undo.use(await TestNetwork.create());
    server = await node("srv", "10.99.0.11");
    // The first is behind a router that translates addresses: only what it asks for itself comes in.
    agents = [await node("agt1", "10.98.0.12"), await node("agt2", "10.99.0.13")];
    startServer();
    await server.untilReady("srv");
    token = (await readFile(server.host.outside("/var/lib/rancher/k3s/server/node-token"), "utf8")).trim();
  });
  after(() => undo.disposeAsync());

  test("a wrong token, a token of another cluster and a URL without https each end the agent with one clear line", async () => {
    const [agent] = agents;
    const cases = [
      [["--server", URL, "--token", "nonsense"], /does not accept the token/],
      [["--server", URL, "--token", `K10${"0".repeat(64)}::node:x`], /token CA hash does not match/],
      [["--server", "http://10.99.0.11:6443", "--token", "x"], /--server must be a URL like https/],
    ] as const;
    for (const [args, expected] of cases) {
      agent.join(...args);
      assert.equal(await agent.ended(), 1);
      assert.match(agent.log, expected);
    }
  });

  test("two agents join at once, one of which nobody can connect to", async () => {
    for (const agent of agents) joinCluster(agent);
    for (const { host } of agents) await untilReady(host.name);
    const secrets = await get(
      "secrets",
      "-n",
      "kube-system",
      "--field-selector=type=k3s.cattle.io/node-password",
      "-o",
      "name",
    );
    assert.deepEqual(secrets.split("\n").sort(), [
      "secret/agt1.node-password.k3s",
      "secret/agt2.node-password.k3s",
      "secret/srv.node-password.k3s",
    ]);
  });

  test("servers and agents show their metrics to whoever may see them, and profiles if they are told to", async () => {
    const [, other] = agents; // nobody can connect to the first one
    const fetch = (address: string, path: string, ...args: readonly string[]) =>
      server.host.run("curl", "-skm", "30", "-w", "\n%{http_code}", ...args, `https://${address}:6443${path}`);
    const tls = "/var/lib/rancher/k3s/server/tls";
    const admin = ["--cert", `${tls}/client-admin.crt`, "--key", `${tls}/client-admin.key`];
    await server.kubectl("create", "serviceaccount", "scraper");
    const scraper = ["-H", `Authorization: Bearer ${await tokenOf("scraper")}`];
    assert.match(await fetch(server.host.address, "/metrics", ...admin), /^kine_sql_total\{.*\n200$/ms);
    const own = await fetch(other.host.address, "/metrics", ...admin);
    assert.match(
      own,
      /^k3s_loadbalancer_server_health\{name="k3s-agent-load-balancer",server="10\.99\.0\.11:6443"\} 7$/m,
    );
    for (const { host } of [server, other]) {
      assert.match(await fetch(host.address, "/metrics"), /\n401$/);
      assert.match(await fetch(host.address, "/metrics", "-u", `node:${token.split(":").at(-1) ?? ""}`), /\n401$/);
      assert.match(await fetch(host.address, "/metrics", ...scraper), /\n403$/);
    }
    await server.kubectl("create", "clusterrole", "scraper", "--verb=get", "--non-resource-url=/metrics");
    await server.kubectl(
      "create",
      "clusterrolebinding",
      "scraper",
      "--clusterrole=scraper",
      "--serviceaccount=default:scraper",
    );
    for (const { host } of [server, other])
      await until("the scraper is let in", async () =>
        /\n200$/.test(await fetch(host.address, "/metrics", ...scraper)),
      );
    assert.match(
      await fetch(server.host.address, "/debug/pprof/profile?seconds=1", ...scraper),
      /"callFrame".*\n200$/s,
    );
    assert.match(await fetch(server.host.address, "/debug/pprof/heap?seconds=1", ...scraper), /"callFrame".*\n200$/s);
    assert.match(await fetch(other.host.address, "/debug/pprof/profile?seconds=1", ...admin), /\n404$/);
  });

  test("kubelets' metrics are scraped through the tunnels", async () => {
    for (const { host } of agents) {
      const metrics = await server.kubectl("get", "--raw", `/api/v1/nodes/${host.name}/proxy/metrics`);
      assert.match(metrics, new RegExp(`^kubelet_node_name\\{node="${host.name}"\\} 1$`, "m"));
    }
  });

  test("pods run on the agents; logs, exec and port-forward reach them through the tunnels", async () => {
    await until("there is a service account", () => get("serviceaccount", "default"));
    for (const { host } of agents) await runWeb(host.name);
    for (const { host } of agents) {
      const pod = `on-${host.name}`;
      await until(`${pod} runs`, async () => (await startedAt(pod)) !== "", LIMIT_MS);
      assert.equal(await server.kubectl("logs", pod), `hello from ${pod}`);
      assert.equal(await server.kubectl("exec", pod, "--", "hostname"), pod);
      const forward = server.host.spawn(server.file, ["kubectl", "port-forward", pod, "18080:8080"], {
        stdio: "ignore",
      });
      try {
        await until("the port is forwarded", async () => {
          return (await server.host.run("curl", "-sfm", "2", "http://127.0.0.1:18080/")) === pod;
        });
      } finally {
        const [port] = (await server.host.processes()).filter(({ commandLine }) =>
          commandLine.includes("port-forward"),
        );
        if (port !== undefined) await server.host.run("kill", String(port.pid));
        forward.kill();
      }
    }
  });

  test("pods talk across nodes, by routes of the hosts", async () => {
    await runWeb("srv");
    await server.kubectl("wait", "--for=condition=Ready", "pod/on-srv", "--timeout=55s");
    const fetch = async (from: string, to: string) => {
      const address = await get("pod", to, "-o", "jsonpath={.status.podIP}");
      return server.kubectl("exec", from, "--", "busybox", "timeout", "3", "wget", "-qO-", `http://${address}:8080/`);
    };
    for (const [from, to] of [
      ["on-srv", "on-agt2"],
      ["on-agt2", "on-srv"],
    ] as const)
      await until(`${from} reaches ${to}`, async () => (await fetch(from, to)) === to).catch(explained);
    const routes = await server.host.run("ip", "route");
    assert.match(routes, /^10\.42\.\d\.0\/24 via 10\.99\.0\.13 dev eth0/m);
    assert.doesNotMatch(routes, /flannel\.1|10\.98\./);
  });

  for (const { what, fault } of [
    { what: "killed", fault: () => killed(startServer) },
    { what: "frozen", fault: () => FROZEN },
    { what: "cut off", fault: () => cutOff(network) },
    { what: "on a bad path", fault: () => onBadPath(network) },
  ])
    test(`the server is ${what} and comes back: pods run on, nodes stay, nothing is lost, the tunnels open again`, async () => {
      const [agent] = agents;
      const starts = () => Promise.all(agents.map(({ host }) => startedAt(`on-${host.name}`)));
      const before = await starts();
      await inviteAdmin(agent, server);
      await using writes = new AcknowledgedWrites(through(agent));
      await until("writes are served", () => Promise.resolve(writes.names.length > 2));
      const { begin, end, lastsMs = OUTAGE_MS, isServing = false } = fault();
      await begin(server);
      const { length: begun } = writes.names;
      await sleep(lastsMs);
      if (isServing)
        await until("writes are served meanwhile", () => Promise.resolve(writes.names.length > begun + 2), LIMIT_MS);
      await end(server);
      const count = writes.names.length;
      for (const { host } of agents) {
        await untilReady(host.name);
        await until("logs come again", () => server.kubectl("logs", `on-${host.name}`), LIMIT_MS).catch(explained);
      }
      await until("the API answers on the agent", () => answers(agent), LIMIT_MS).catch(explained);
      await until("writes are served again", () => Promise.resolve(writes.names.length > count + 2), LIMIT_MS);
      await writes.stop();
      assert.deepEqual(await starts(), before);
      const found = (await get("configmaps", "-o", "name")).split("\n");
      assert.deepEqual(
        writes.names.filter((written) => !found.includes(`configmap/${written}`)),
        [],
      );
    });

  test("an agent starts without any server from what it has on disk, and is a member again when one comes", async () => {
    const [agent] = agents;
    const pod = `on-${agent.host.name}`;
    const before = await startedAt(pod);
    assert.equal(await server.stop(), 0);
    assert.equal(await agent.stop(), 0);
    joinCluster(agent);
    await until("kubelet runs", async () => (await agent.children()).has("kubelet"), LIMIT_MS);
    assert.match(agent.log, /goes on with what its last start left on disk/);
    startServer();
    await server.untilReady("srv");
    await untilReady(agent.host.name);
    await until("its pod is known again", async () => (await startedAt(pod)) === before, LIMIT_MS);
  });

  test("a machine that takes the name of a node without its password is told which file and which secret", async () => {
    const [first, second] = agents;
    assert.equal(await second.stop(), 0);
    joinCluster(second, "--node-name", first.host.name);
    await until("it is refused", () => Promise.resolve(second.log.includes("Node password rejected")), LIMIT_MS);
    assert.match(second.log, /\/etc\/rancher\/node\/password/);
    assert.match(second.log, new RegExp(`secret ${first.host.name}.node-password.k3s`));
    assert.equal(await second.stop(), 0);
    joinCluster(second);
    await untilReady(second.host.name);
  });

  test("an agent with an id in its name and an external address keeps both, and is reached through its tunnel", async () => {
    const [, agent] = agents;
    const { host } = agent;
    // Its node may have been Ready from before: what is to be stopped has to be there.
    await until("kubelet runs", async () => (await agent.children()).has("kubelet"), LIMIT_MS);
    assert.equal(await agent.stop(), 0);
    await server.kubectl("delete", "node", host.name);
    const args = ["--with-node-id", `--node-external-ip=${EXTERNAL}`];
    joinCluster(agent, ...args);
    const id = (await until("there is an id", () => host.run("cat", ID_FILE))).trim();
    assert.match(id, /^[0-9a-f]{8}$/);
    assert.equal((await host.run("stat", "-c", "%a", ID_FILE)).trim(), "644");
    const name = `${host.name}-${id}`;
    await untilReady(name);
    const addressOf = (type: string) =>
      get("node", name, "-o", `jsonpath={.status.addresses[?(@.type=="${type}")].address}`);
    await until("its external address is there", async () => (await addressOf("ExternalIP")) === EXTERNAL);
    assert.equal(await addressOf("InternalIP"), host.address);
    const leaf = await host.run("cat", "/var/lib/rancher/k3s/agent/serving-kubelet.crt");
    const names = new X509Certificate(leaf).subjectAltName?.split(", ") ?? [];
    for (const expected of [`DNS:${name}`, `IP Address:${host.address}`, `IP Address:${EXTERNAL}`])
      assert.ok(names.includes(expected), `${expected} is not among ${names.join()}`);
    const metrics = () => server.kubectl("get", "--raw", `/api/v1/nodes/${name}/proxy/metrics`);
    await until("its metrics come", metrics, LIMIT_MS).catch(explained);
    assert.equal(await agent.stop(), 0);
    joinCluster(agent, ...args);
    await until("its metrics come again", metrics, LIMIT_MS).catch(explained);
    const nodes = (await get("nodes", "-o", "jsonpath={.items[*].metadata.name}")).split(" ");
    assert.deepEqual(nodes.sort(), ["agt1", name, "srv"]);
  });
});
