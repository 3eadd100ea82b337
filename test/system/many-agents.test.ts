import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { readFile } from "node:fs/promises";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { K3sServer, TestHost, TestNetwork, until } from "@k3s/testkit";

const MEMBER = fileURLToPath(new URL("member.ts", import.meta.url));
const COUNT = 20;
const LIMIT_MS = 180_000;
const SERVER_PASSWORD = "of-servers";
const AGENT_PASSWORD = "of-agents";

interface Agent {
  readonly host: TestHost;
  readonly process: ChildProcess;
  log: string;
}

describe(`${COUNT} agents that join at once`, { timeout: 600_000 }, () => {
  const undo = new AsyncDisposableStack();
  const hosts: TestHost[] = [];
  let server: K3sServer;
  let token = "";

  before(async () => {
    const network = undo.use(await TestNetwork.create());
    const host = async (name: string, address: string) => undo.use(await TestHost.create({ name, address, network }));
    server = new K3sServer(await host("srv", "10.99.0.11"));
    for (let i = 0; i < COUNT; i++) hosts.push(await host(`rack-${i}`, `10.99.0.${100 + i}`));
    server.start("--disable-agent", "--token", SERVER_PASSWORD, "--agent-token", AGENT_PASSWORD);
    await until("the server answers", () => server.kubectl("get", "--raw=/readyz"), LIMIT_MS);
    token = (await readFile(server.host.outside("/var/lib/rancher/k3s/server/agent-token"), "utf8")).trim();
  });
  after(() => undo.disposeAsync());

  test("the token they are given is that of agents", () => {
    assert.match(token, new RegExp(`^K10[0-9a-f]{64}::node:${AGENT_PASSWORD}$`));
  });

  function startAgent(host: TestHost): Agent {
    const env = { PATH: process.env["PATH"], K3S_URL: "https://10.99.0.11:6443", K3S_TOKEN: token };
    const child = host.spawn(process.execPath, [MEMBER], { stdio: ["ignore", "pipe", "pipe"], env });
    const agent: Agent = { host, process: child, log: "" };
    for (const stream of [child.stdout, child.stderr])
      stream?.on("data", (chunk: Buffer) => (agent.log += chunk.toString()));
    return agent;
  }

  test("each has its certificates, its password's hash on the server, and a tunnel; none sees an error", async (t) => {
    const begunAt = performance.now();
    const agents = hosts.map(startAgent);
    const isMember = ({ log }: Agent) => log.includes("joined") && log.includes("tunnel is open");
    await until("all are members", () => Promise.resolve(agents.every(isMember)), LIMIT_MS).catch((error: unknown) => {
      const rest = agents.filter((agent) => !isMember(agent)).map(({ host, log }) => `--- ${host.name}\n${log}`);
      throw new Error(rest.join("\n"), { cause: error });
    });
    t.diagnostic(`all were members after ${((performance.now() - begunAt) / 1000).toFixed(1)} s`);
    for (const { host, log } of agents) {
      assert.doesNotMatch(log, / (?:WARN|ERROR|FATAL) /);
      assert.match(server.log, new RegExp(`tunnel of node is open.*node=${host.name}\\b`));
    }
    const secrets = await server.kubectl("get", "secrets", "-n", "kube-system", "-o", "name");
    const known = secrets.split("\n").filter((name) => name.endsWith(".node-password.k3s"));
    assert.deepEqual(known.sort(), hosts.map(({ name }) => `secret/${name}.node-password.k3s`).sort());
    for (const { host, process: child } of agents) {
      const [own] = (await host.processes()).filter(({ commandLine }) => commandLine.includes(MEMBER));
      assert.ok(own !== undefined);
      const ended = new Promise((resolve) => child.once("exit", resolve));
      await host.run("kill", String(own.pid));
      assert.equal(await ended, 0);
    }
  });

  test("what lets agents in opens no route of servers, and the token of servers still does", async () => {
    const put = async (user: string, password: string) => {
      const call = ["-X", "PUT", "-d", "no JSON", "-u", `${user}:${password}`];
      const status = ["-sk", "-o", "/dev/null", "-w", "%{http_code}"];
      return await server.host.run("curl", ...status, ...call, "https://10.99.0.11:6443/v1-k3s/token");
    };
    assert.equal(await put("node", AGENT_PASSWORD), "403");
    assert.equal(await put("server", AGENT_PASSWORD), "401");
    assert.equal(await put("server", SERVER_PASSWORD), "400", "it is let in, and told what is wrong with the request");
  });
});
