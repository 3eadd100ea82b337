/**
 * What a server costs when nothing happens: memory (PSS) and processor time of our process and of each child.
 *
 *   node bench/idle.ts [--minutes 10] [--settle 90]
 */
import { readFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { sleep } from "@k3s/async";
import { K3sServer, TestHost, TestNetwork } from "@k3s/testkit";
import { median } from "./median.ts";

const { values } = parseArgs({
  options: { minutes: { type: "string", default: "10" }, settle: { type: "string", default: "90" } },
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

await using network = await TestNetwork.create();
await using host = await TestHost.create({ name: "idle", address: "10.99.0.11", network });
const server = new K3sServer(host);
server.start();
await server.untilReady();
await sleep(Number(values.settle) * 1000);

const [supervisor = 0] = await server.supervisors();
const processes = new Map([["k3s server", supervisor], ...(await server.children())]);
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
await server.stop();
