import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { readFile } from "node:fs/promises";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { K3sServer, TestHost, TestNetwork, until } from "@k3s/testkit";

const MEMBER = fileURLToPath(new URL("member.ts", import.meta.url));
const LIMIT_MS = 180_000;
const NAME = "k3s.test";
const FIRST = "10.99.0.11";
const SECOND = "10.99.0.31";

interface Agent {
  readonly process: ChildProcess;
  log: string;
}

describe("an agent on a bad network", { timeout: 600_000 }, () => {
  const undo = new AsyncDisposableStack();
  let network: TestNetwork;
  let server: K3sServer;
  let host: TestHost;
  let token = "";

  before(async () => {
    network = undo.use(await TestNetwork.create());
    server = new K3sServer(undo.use(await TestHost.create({ name: "srv", address: FIRST, network })));
    host = undo.use(await TestHost.create({ name: "agt", address: "10.99.0.12", network }));
    await serve();
    token = (await readFile(server.host.outside("/var/lib/rancher/k3s/server/node-token"), "utf8")).trim();
  });
  after(() => undo.disposeAsync());

  async function serve(): Promise<void> {
    server.start("--disable-agent", "--tls-san", NAME);
    await until("the server answers", () => server.kubectl("get", "--raw=/readyz"), LIMIT_MS);
  }

  async function name(address: string): Promise<void> {
    await host.run("sh", "-c", `echo '127.0.0.1 localhost agt\n${address} ${NAME}' > /etc/hosts`);
  }

  function startAgent(): Agent {
    const env = { PATH: process.env["PATH"], K3S_URL: `https://${NAME}:6443`, K3S_TOKEN: token };
    return followed(host.spawn(process.execPath, [MEMBER], { stdio: ["ignore", "pipe", "pipe"], env }));
  }

  async function stopAgent({ process: child }: Agent): Promise<void> {
    const [own] = (await host.processes()).filter(({ commandLine }) => commandLine.includes(MEMBER));
    assert.ok(own !== undefined);
    const ended = new Promise((resolve) => child.once("exit", resolve));
    await host.run("kill", String(own.pid));
    assert.equal(await ended, 0);
  }

  /** Waits for what the agent has not said before `from`. */
  const says = (agent: Agent, what: RegExp, from = 0) =>
    until(`it says ${String(what)}`, () => Promise.resolve(what.test(agent.log.slice(from))), LIMIT_MS).catch(
      (error: unknown) => {
        throw new Error(`${agent.log.slice(-8_000)}\n--- server\n${server.log.slice(-8_000)}`, { cause: error });
      },
    );

  test("joins while one packet in twenty is lost each way, and keeps its tunnel", async (t) => {
    await name(FIRST);
    await network.lose("agt", 0.05);
    const agent = startAgent();
    await says(agent, /tunnel is open/);
    await says(agent, /joined/);
    const from = agent.log.length;
    const before = await network.lost("agt");
    await until("more are lost", async () => (await network.lost("agt")) > before + 2, LIMIT_MS);
    t.diagnostic(`${await network.lost("agt")} packets were lost`);
    assert.doesNotMatch(agent.log.slice(from), /tunnel is down/);
    await network.lose("agt", 0);
    await stopAgent(agent);
  });

  test("follows a name when every server has another address", async () => {
    await name(FIRST);
    const agent = startAgent();
    await says(agent, /tunnel is open/);
    await server.stop();
    await network.readdress("srv", SECOND);
    await serve();
    const from = agent.log.length;
    await name(SECOND);
    await says(agent, /tunnel is open.*10\.99\.0\.31:6443|10\.99\.0\.31:6443.*tunnel is open/, from);
    await stopAgent(agent);
  });
});

/** The log of a child, as it grows. */
function followed(child: ChildProcess): Agent {
  const agent: Agent = { process: child, log: "" };
  for (const stream of [child.stdout, child.stderr])
    stream?.on("data", (chunk: Buffer) => (agent.log += chunk.toString()));
  return agent;
}
