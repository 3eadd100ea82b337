/**
 * The load balancer beside HAProxy and beside no balancer at all, on loopback, all in one run: throughput, added latency,
 * memory per connection, processor time. HAProxy comes from PATH or K3S_TEST_BIN_DIR.
 *
 *   node bench/lb.ts [--seconds 4] [--rounds 3] [--pings 10000]
 */
import { fork, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { sleep } from "@k3s/async";
import { findProgram, freePort, until } from "@k3s/testkit";
import type { Answer, Order } from "./lb-client.ts";
import { median } from "./median.ts";

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "4" },
    rounds: { type: "string", default: "3" },
    pings: { type: "string", default: "10000" },
  },
});
const CONNECTIONS = [1, 100, 1_000] as const;
/** USER_HZ of Linux on every architecture we run on. */
const TICKS_PER_SECOND = 100;
const SETTLE_MS = 500;
const WARM_CONNECTIONS = 10;

interface Target {
  readonly name: string;
  readonly port: number;
  /** Undefined: the backend itself. */
  readonly pid: number | undefined;
}

interface Figures {
  readonly mibPerSecond: number;
  readonly cpuPerGib: number;
  readonly p50Micros: number;
  readonly p99Micros: number;
}

await using undo = new AsyncDisposableStack();
const folder = await mkdtemp(join(tmpdir(), "k3s-bench-lb-"));
undo.defer(() => rm(folder, { recursive: true, force: true }));

async function forked(file: string, ...args: string[]): Promise<{ child: ChildProcess; message: unknown }> {
  const child = fork(join(import.meta.dirname, file), args);
  undo.defer(() => void child.kill("SIGKILL"));
  const [message] = (await once(child, "message")) as [unknown];
  return { child, message };
}

async function startHaproxy(backend: number): Promise<Omit<Target, "name">> {
  const port = await freePort();
  const config = join(folder, "haproxy.cfg");
  await writeFile(
    config,
    `global
  maxconn 4096
defaults
  mode tcp
  timeout connect 10s
  timeout client 1h
  timeout server 1h
listen bench
  bind 127.0.0.1:${port}
  server backend 127.0.0.1:${backend}
`,
  );
  const child = spawn(await findProgram("haproxy"), ["-db", "-f", config], { stdio: ["ignore", "ignore", "inherit"] });
  undo.defer(() => void child.kill("SIGKILL"));
  await until("HAProxy listens", () => canConnect(port));
  return { port, pid: child.pid };
}

async function canConnect(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1");
  await once(socket, "connect");
  socket.destroy();
  return true;
}

async function cpuSeconds(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8");
  const [user = "0", system = "0"] = stat
    .slice(stat.lastIndexOf(")") + 2)
    .split(" ")
    .slice(11, 13);
  return (Number(user) + Number(system)) / TICKS_PER_SECOND;
}

async function pssKib(pid: number): Promise<number> {
  return Number(/^Pss:\s+(\d+) kB/m.exec(await readFile(`/proc/${pid}/smaps_rollup`, "utf8"))?.[1] ?? 0);
}

async function order(client: ChildProcess, what: Order): Promise<Answer> {
  client.send(what);
  const [answer] = (await once(client, "message")) as [Answer];
  return answer;
}

async function measure(client: ChildProcess, target: Target, connections: number): Promise<Figures> {
  const { port, pid } = target;
  const cpu = () => (pid === undefined ? Promise.resolve(0) : cpuSeconds(pid));
  await order(client, { kind: "open", port, connections });
  const { p50Micros, p99Micros } = await order(client, { kind: "ping", count: Number(values.pings) });
  await order(client, { kind: "close" });
  await sleep(SETTLE_MS);
  client.send({ kind: "stream", port, connections, seconds: Number(values.seconds) } satisfies Order);
  await once(client, "message");
  const cpuBefore = await cpu();
  const [{ bytes, seconds }] = (await once(client, "message")) as [Answer];
  const cpuPerGib = ((await cpu()) - cpuBefore) / (bytes / 2 ** 30);
  await sleep(SETTLE_MS);
  return { mibPerSecond: bytes / seconds / 2 ** 20, cpuPerGib, p50Micros, p99Micros };
}

/** Of a balancer that has done nothing yet but to serve a few connections. */
async function measureMemory(client: ChildProcess, { name, port, pid }: Target): Promise<void> {
  if (pid === undefined) return;
  await order(client, { kind: "open", port, connections: WARM_CONNECTIONS });
  await sleep(SETTLE_MS);
  const before = await pssKib(pid);
  const cells: string[] = [];
  for (const connections of CONNECTIONS.filter((count) => count > WARM_CONNECTIONS)) {
    await order(client, { kind: "open", port, connections });
    await sleep(SETTLE_MS);
    const each = ((await pssKib(pid)) - before) / (connections - WARM_CONNECTIONS);
    cells.push(`${each.toFixed(1)} KiB per connection at ${connections}`);
  }
  await order(client, { kind: "close" });
  process.stdout.write(`memory of ${name}: ${(before / 1_024).toFixed(1)} MiB, ${cells.join(", ")}\n`);
}

const backend = Number((await forked("lb-backend.ts")).message);
const ours = await forked("lb-balancer.ts", `127.0.0.1:${backend}`, folder);
const targets: readonly Target[] = [
  { name: "none", port: backend, pid: undefined },
  { name: "haproxy", ...(await startHaproxy(backend)) },
  { name: "ours", port: Number(ours.message), pid: ours.child.pid },
];
const { child: client } = await forked("lb-client.ts");
for (const target of targets) await measureMemory(client, target);
const rounds = new Map<string, Figures[]>();
for (let round = 0; round < Number(values.rounds); round++)
  for (const connections of CONNECTIONS)
    for (const target of targets) {
      const key = `${connections} ${target.name}`;
      rounds.set(key, [...(rounds.get(key) ?? []), await measure(client, target, connections)]);
    }

const load = (await readFile("/proc/loadavg", "utf8")).split(" ")[0] ?? "";
process.stdout.write(`load average of the machine at the end: ${load}\n\n`);
process.stdout.write("| connections | balancer | MiB/s | CPU s/GiB | p50 µs | p99 µs |\n");
process.stdout.write("|---|---|---|---|---|---|\n");
for (const [key, all] of rounds) {
  const of = (name: keyof Figures) => median(all.map((figures) => figures[name]));
  const cells = [of("mibPerSecond").toFixed(0), of("cpuPerGib").toFixed(2), of("p50Micros").toFixed(1)];
  process.stdout.write(`| ${[...key.split(" "), ...cells, of("p99Micros").toFixed(1)].join(" | ")} |\n`);
}
