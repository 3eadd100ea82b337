import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { DIST, K3sServer, TestHost, TestNetwork, until } from "@k3s/testkit";

const SECONDS = 1_000;
const LIMIT_MS = 120 * SECONDS;
const URL = "https://10.99.0.11:6443";
const IMAGE = "docker.io/library/busybox:local";
/** Of the component set: a machine need not have one. */
const IPTABLES = join(DIST, "lib/components/bin/aux/iptables");

describe("one server and two agents", { timeout: 15 * 60 * SECONDS }, () => {
  const undo = new AsyncDisposableStack();
  let server: K3sServer;
  let agents: readonly [K3sServer, K3sServer];
  let token = "";

  const node = async (name: string, address: string, network: TestNetwork): Promise<K3sServer> => {
    const k3s = new K3sServer(undo.use(await TestHost.create({ name, address, network })));
    await k3s.provideImages();
    return k3s;
  };
  const get = (...args: readonly string[]) => server.kubectl("get", ...args);
  const ready = async (name: string) =>
    (await get("node", name, "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].status}`)) === "True";
  const untilReady = (name: string) =>
    until(`node ${name} is Ready`, () => ready(name), LIMIT_MS).catch((error: unknown) => {
      const log = [server, ...agents].map((one) => `--- ${one.host.name}\n${one.log.slice(-8000)}`).join("\n");
      throw new Error(`Node ${name} did not become Ready\n${log}`, { cause: error });
    });
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
  const supervisorOf = async (k3s: K3sServer): Promise<string> => String((await k3s.supervisors())[0] ?? "");

  before(async () => {
    const network = undo.use(await TestNetwork.create());
    server = await node("srv", "10.99.0.11", network);
    agents = [await node("agt1", "10.99.0.12", network), await node("agt2", "10.99.0.13", network)];
    server.start("--supervisor-metrics", "--enable-pprof");
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
    // As behind NAT: only what it asks for itself comes in.
    const firewall = ["-A", "INPUT", "-i", "eth0", "-m", "conntrack", "--ctstate", "NEW", "-j", "DROP"];
    await agents[0].host.run(IPTABLES, ...firewall);
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

  test("pods run on the agents; logs, exec and port-forward reach them through the tunnels", async () => {
    await until("there is a service account", () => get("serviceaccount", "default"));
    for (const { host } of agents) {
      const overrides = JSON.stringify({ spec: { nodeName: host.name, terminationGracePeriodSeconds: 1 } });
      const script = "hostname > /www/index.html; echo hello from $(hostname); exec httpd -f -p 8080 -h /www";
      const options = [`--image=${IMAGE}`, "--image-pull-policy=Never", "--overrides", overrides];
      await server.kubectl("run", `on-${host.name}`, ...options, "--", "sh", "-c", script);
    }
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

  test("the server is killed and comes back: pods run on, nodes stay, the tunnels open again", async () => {
    const before = await Promise.all(agents.map(({ host }) => startedAt(`on-${host.name}`)));
    await server.host.run("kill", "-9", await supervisorOf(server));
    await server.ended();
    server.start();
    for (const { host } of agents) {
      await untilReady(host.name);
      await until("logs come again", () => server.kubectl("logs", `on-${host.name}`), LIMIT_MS);
    }
    assert.deepEqual(await Promise.all(agents.map(({ host }) => startedAt(`on-${host.name}`))), before);
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
    server.start();
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
});
