/**
 * What a node costs when nothing happens: memory (PSS) and processor time of our process and of each child. Of a server, or of an agent
 * whose server runs from a copy of the product: what both would share counts in full.
 *
 *   node bench/idle.ts [--role server|agent] [--minutes 10] [--settle 90]
 */
import { copyFile, mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { sleep } from "@k3s/async";
import { DIST, K3sServer, TestHost, TestNetwork, until } from "@k3s/testkit";
import { median } from "./median.ts";

const { values } = parseArgs({
  options: {
    role: { type: "string", default: "server" },
    minutes: { type: "string", default: "10" },
    settle: { type: "string", default: "90" },
  },
});
const SAMPLE_MS = 5_000;
/** USER_HZ of Linux on every architecture we run on. */
const TICKS_PER_SECOND = 100;

interface Sample {
  readonly pssMiB: number;
  readonly cpuSeconds: number;
}

async function sample(host: TestHost, pid: number): Promise<Sample> {
  const rollup = await host.run("cat", `/proc/${pid}/smaps_rollup`);
  const stat = await host.run("cat", `/proc/${pid}/stat`);
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const [user = "0", system = "0"] = fields.slice(11, 13);
  const pss = /^Pss:\s+(\d+) kB/m.exec(rollup)?.[1] ?? "0";
  return { pssMiB: Number(pss) / 1024, cpuSeconds: (Number(user) + Number(system)) / TICKS_PER_SECOND };
}

/** A node that is Ready, and what is to be stopped after the bench, in this order. */
async function startNode(
  network: TestNetwork,
  undo: AsyncDisposableStack,
): Promise<readonly [K3sServer, ...K3sServer[]]> {
  const host = async (name: string, address: string) => undo.use(await TestHost.create({ name, address, network }));
  const one = await host("idle", "10.99.0.11");
  if (values.role !== "agent") {
    const server = new K3sServer(one);
    server.start();
    await server.untilReady();
    return [server];
  }
  const other = await host("server", "10.99.0.12");
  await mkdir(other.outside("/var/lib/k3s-dist"));
  await copyFile(join(DIST, "k3s"), other.outside("/var/lib/k3s-dist/k3s"));
  const server = new K3sServer(other, "/var/lib/k3s-dist/k3s");
  server.start();
  await server.untilReady("server");
  const token = await readFile(other.outside("/var/lib/rancher/k3s/server/node-token"), "utf8");
  const agent = new K3sServer(one);
  agent.join("--server", "https://10.99.0.12:6443", "--token", token.trim());
  await until("the agent is Ready", async () =>
    /idle +Ready/.test(await server.kubectl("get", "nodes", "--no-headers")),
  );
  return [agent, server];
}

await using undo = new AsyncDisposableStack();
const network = undo.use(await TestNetwork.create());
const nodes = await startNode(network, undo);
const [node] = nodes;
const { host } = node;
await sleep(Number(values.settle) * 1000);

const [supervisor = 0] = await node.supervisors();
const processes = new Map([[`k3s ${values.role}`, supervisor], ...(await node.children())]);
const series = new Map([...processes.keys()].map((name) => [name, [] as Sample[]]));
const startedAt = performance.now();
const durationMs = Number(values.minutes) * 60_000;
do {
  for (const [name, pid] of processes) series.get(name)?.push(await sample(host, pid));
  await sleep(SAMPLE_MS);
} while (performance.now() - startedAt < durationMs);
const seconds = (performance.now() - startedAt) / 1000;

const load = (await readFile("/proc/loadavg", "utf8")).split(" ")[0] ?? "";
process.stdout.write(`idle over ${(seconds / 60).toFixed(1)} min, load average of the machine ${load}\n`);
process.stdout.write("program                    PSS MiB (median)   CPU % of a core\n");
for (const [name, samples] of series) {
  const [first, last] = [samples[0], samples.at(-1)];
  const cpu = (((last?.cpuSeconds ?? 0) - (first?.cpuSeconds ?? 0)) / seconds) * 100;
  const pss = median(samples.map(({ pssMiB }) => pssMiB));
  process.stdout.write(`${name.padEnd(26)} ${pss.toFixed(1).padStart(10)} ${cpu.toFixed(2).padStart(18)}\n`);
}
for (const each of nodes) await each.stop();
