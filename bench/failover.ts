/**
 * How long an agent is without an API when the server it uses refuses, stands still or is cut off: two real servers on one MariaDB, an
 * agent with its balancer and tunnels (without the programs of a node), each a host of its own.
 *
 *   node bench/failover.ts [--rounds 100]
 */
import { once } from "node:events";
import type { ChildProcess } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface, type Interface } from "node:readline";
import { parseArgs } from "node:util";
import { deadline } from "@k3s/async";
import { DIST, K3sServer, MariaDbServer, TestHost, TestNetwork, until } from "@k3s/testkit";
import type { Failover, FailoverState } from "./failover-agent.ts";
import { median } from "./median.ts";

const { values } = parseArgs({ options: { rounds: { type: "string", default: "100" } } });
const PORT = "6443";
const AGENT = join(import.meta.dirname, "failover-agent.ts");
/** Of the component set: a machine need not have one. */
const IPTABLES = join(DIST, "lib/components/bin/aux/iptables");
const RULE_LIMIT_MS = 10_000;
const GOOD = ["healthy", "preferred", "active"];

interface Fault {
  readonly begin: (server: K3sServer) => Promise<unknown>;
  readonly end: (server: K3sServer) => Promise<unknown>;
}

/** Time without an API, in ms. */
interface Outages {
  /** From the moment on at which the fault held for certain. */
  readonly certain: number[];
  /** From the moment on at which it was begun. */
  readonly longest: number[];
}

/** A shell in a host, there before it is needed: a rule then takes no longer than iptables does. */
class Firewall {
  readonly #shell: ChildProcess;
  readonly #statuses: Interface;

  constructor(host: TestHost) {
    const script = 'while read -ra rule; do "$0" "${rule[@]}"; echo $?; done';
    this.#shell = host.spawn("bash", ["-c", script, IPTABLES], { stdio: ["pipe", "pipe", "inherit"] });
    if (this.#shell.stdout === null) throw new Error("The shell has no output");
    this.#statuses = createInterface({ input: this.#shell.stdout });
  }

  /** Resolves when the rule is in force, or gone. */
  async run(...args: readonly string[]): Promise<void> {
    using limit = deadline(RULE_LIMIT_MS, "A rule");
    const status = once(this.#statuses, "line", { signal: limit });
    this.#shell.stdin?.write(`${args.join(" ")}\n`);
    const [code] = (await status) as [string];
    if (code !== "0") throw new Error(`Cannot run iptables ${args.join(" ")}: it ends with ${code}`);
  }
}

class Rig {
  readonly servers: readonly K3sServer[];
  readonly faults: Readonly<Record<string, Fault>>;
  readonly #agent: ChildProcess;
  readonly #answers: Interface;

  private constructor(parts: Pick<Rig, "servers" | "faults">, agent: ChildProcess, answers: Interface) {
    this.servers = parts.servers;
    this.faults = parts.faults;
    this.#agent = agent;
    this.#answers = answers;
  }

  static async start(undo: AsyncDisposableStack): Promise<Rig> {
    const network = undo.use(await TestNetwork.create());
    const host = async (name: string, address: string) => undo.use(await TestHost.create({ name, address, network }));
    const database = await startDatabase(await host("db", "10.99.0.20"), undo);
    const first = new K3sServer(await host("srv1", "10.99.0.11"));
    const second = new K3sServer(await host("srv2", "10.99.0.12"));
    const start = async (server: K3sServer, ...args: readonly string[]) => {
      server.start("--disable-agent", `--datastore-endpoint=${database}`, ...args);
      await until("a server answers", () => server.kubectl("get", "--raw=/readyz"), 180_000);
    };
    await start(first);
    const token = (await readFile(first.host.outside("/var/lib/rancher/k3s/server/token"), "utf8")).trim();
    await start(second, `--token=${token}`);
    const { process: agent, answers } = await startAgent(await host("agent", "10.99.0.30"), token);
    const servers = [first, second];
    return new Rig({ servers, faults: faultsOf(network, servers) }, agent, answers);
  }

  async ask<Answer>(what: "state" | "measure"): Promise<Answer> {
    const answer = once(this.#answers, "line");
    this.#agent.stdin?.write(`${what}\n`);
    const [line] = (await answer) as [string];
    return JSON.parse(line) as Answer;
  }

  /** The server in use, once the other one is good as well. */
  async activeServer(): Promise<K3sServer> {
    const { servers } = await until(
      "both servers are good",
      async () => {
        const state = await this.ask<FailoverState>("state");
        return state.servers.filter((each) => GOOD.includes(each.state)).length === 2 && state;
      },
      180_000,
    );
    const active = this.servers.find(({ host }) => servers[0]?.address === `${host.address}:${PORT}`);
    if (active === undefined) throw new Error(`No server is in use: ${JSON.stringify(servers)}`);
    return active;
  }
}

async function startDatabase(host: TestHost, undo: AsyncDisposableStack): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "k3s-bench-failover-"));
  undo.defer(() => rm(folder, { recursive: true, force: true }));
  const init = join(folder, "init.sql");
  await writeFile(init, "CREATE USER IF NOT EXISTS k3s;\nGRANT ALL ON *.* TO k3s;\n");
  const args = [`--init-file=${init}`, "--bind-address=0.0.0.0"];
  const server = undo.use(await MariaDbServer.start({ folder, network: host.namespace, args }));
  return `mysql://k3s@tcp(${host.address}:${server.port})/kubernetes`;
}

async function startAgent(host: TestHost, token: string): Promise<{ process: ChildProcess; answers: Interface }> {
  const env = { PATH: process.env["PATH"], K3S_URL: `https://10.99.0.11:${PORT}`, K3S_TOKEN: token };
  const child = host.spawn(process.execPath, [AGENT], { stdio: ["pipe", "pipe", "ignore"], env });
  if (child.stdout === null) throw new Error("The agent has no output");
  const answers = createInterface({ input: child.stdout });
  await once(answers, "line");
  return { process: child, answers };
}

function faultsOf(network: TestNetwork, servers: readonly K3sServer[]): Readonly<Record<string, Fault>> {
  const firewalls = new Map(servers.map((server) => [server, new Firewall(server.host)]));
  const reset = ["INPUT", "-p", "tcp", "--dport", PORT, "-i", "eth0", "-j", "REJECT", "--reject-with", "tcp-reset"];
  return {
    refuse: {
      begin: async (server) => firewalls.get(server)?.run("-I", ...reset),
      end: async (server) => firewalls.get(server)?.run("-D", ...reset),
    },
    freeze: { begin: ({ host }) => host.freeze(), end: ({ host }) => host.thaw() },
    cut: { begin: ({ host }) => network.cut(host.name), end: ({ host }) => network.mend(host.name) },
  };
}

function row(name: string, { certain, longest }: Outages): string {
  const all = certain.toSorted((a, b) => a - b);
  const at = (share: number) => all[Math.min(all.length - 1, Math.floor(all.length * share))] ?? Number.NaN;
  const figures = [median(all), at(0.95), at(1), Math.max(...longest)].map((ms) => ms.toFixed(0));
  return `| ${[name, all.length, ...figures].join(" | ")} |\n`;
}

await using undo = new AsyncDisposableStack();
const rig = await Rig.start(undo);
const found = new Map<string, Outages>();
const note = (name: string, ms: number, begunMs: number) => {
  const outages = found.get(name) ?? { certain: [], longest: [] };
  outages.certain.push(ms);
  outages.longest.push(begunMs + ms);
  found.set(name, outages);
};
for (let round = 1; round <= Number(values.rounds); round++)
  for (const [name, { begin, end }] of Object.entries(rig.faults)) {
    const server = await rig.activeServer();
    const since = performance.now();
    await begin(server);
    const begunMs = performance.now() - since; // the fault held from some moment in this time on
    const { requestMs, watchMs } = await rig.ask<Failover>("measure");
    await end(server);
    note(`${name}: a new request`, requestMs, begunMs);
    note(`${name}: a watch is closed`, watchMs ?? Number.POSITIVE_INFINITY, begunMs);
    process.stderr.write(
      `round ${round}, ${name}, begun in ${begunMs.toFixed(1)} ms: ${requestMs.toFixed(1)} ms, watch ${watchMs?.toFixed(1) ?? "-"} ms\n`,
    );
  }
process.stdout.write("| fault, and what ends it | rounds | p50 ms | p95 ms | worst ms | worst, from its beginning |\n");
process.stdout.write("|---|---|---|---|---|---|\n");
for (const [name, outages] of found) process.stdout.write(row(name, outages));
