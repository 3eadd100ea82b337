/**
 * Bytes a second through the tunnel, between the server (this process) and a TCP server that its node dials.
 *
 *   node bench/tunnel.ts [--mebibytes 512] [--rounds 3] [--delay 12] [--stalled 50] [--only "part of a name"]
 *
 * CPU is that of server + node; the TCP server and the network have a process of their own.
 */
import { once } from "node:events";
import type { Duplex } from "node:stream";
import { parseArgs } from "node:util";
import { until } from "@k3s/testkit";
import { median } from "./median.ts";
import { TunnelRig, type TunnelRigOptions } from "./tunnel/tunnel-rig.ts";

const { values } = parseArgs({
  options: {
    mebibytes: { type: "string", default: "512" },
    rounds: { type: "string", default: "3" },
    delay: { type: "string", default: "12" },
    stalled: { type: "string", default: "50" },
    only: { type: "string", default: "" },
  },
});
const BYTES = Number(values.mebibytes) * 2 ** 20;
const STALLED = Number(values.stalled);
const CHUNK = Buffer.alloc(64 * 1024, "k");
/** What a stream that nobody reads is sent. */
const STALLED_BYTES = 100 * 2 ** 20;

interface Case extends TunnelRigOptions {
  readonly name: string;
  readonly stalled: number;
}

interface Figures {
  readonly perSecond: number;
  /** Processor time of the server and of the node, per gigabyte. */
  readonly serverMs: number;
  readonly nodeMs: number;
}

async function timed(rig: TunnelRig, transfer: (rig: TunnelRig) => Promise<void>): Promise<Figures> {
  const before = [process.cpuUsage(), (await rig.agentUsage()).cpu] as const;
  const startedAt = performance.now();
  await transfer(rig);
  const seconds = (performance.now() - startedAt) / 1000;
  const after = [process.cpuUsage(), (await rig.agentUsage()).cpu] as const;
  const spent = (index: 0 | 1) => (cpuMicros(after[index]) - cpuMicros(before[index])) / 1000 / (BYTES / 1e9);
  return { perSecond: BYTES / 1e6 / seconds, serverMs: spent(0), nodeMs: spent(1) };
}

function cpuMicros({ user, system }: NodeJS.CpuUsage): number {
  return user + system;
}

async function down(rig: TunnelRig): Promise<void> {
  const stream = await rig.tunnels.dial("bench", "tcp", rig.address);
  stream.write(`send ${BYTES}\n`);
  let bytes = 0;
  stream.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
  });
  await once(stream, "end");
  if (bytes !== BYTES) throw new Error(`Cannot measure: ${bytes} bytes of ${BYTES} arrived`);
}

async function up(rig: TunnelRig): Promise<void> {
  const stream = await rig.tunnels.dial("bench", "tcp", rig.address);
  stream.write(`take ${BYTES}\n`);
  const taken = once(stream, "data");
  for (let left = BYTES; left > 0; left -= CHUNK.length) if (!stream.write(CHUNK)) await once(stream, "drain");
  await taken;
  stream.destroy();
}

/** Streams that are sent more than anybody reads; resolves when the tunnel holds as much of it as it will. */
async function stall(rig: TunnelRig, count: number): Promise<readonly Duplex[]> {
  const streams: Duplex[] = [];
  for (let index = 0; index < count; index++) {
    const stream = await rig.tunnels.dial("bench", "tcp", rig.address);
    stream.write(`send ${STALLED_BYTES}\n`);
    streams.push(stream);
  }
  let before = -1;
  await until("nothing more arrives", () => {
    const rss = process.memoryUsage.rss();
    const isSteady = Math.abs(rss - before) < 2 ** 20;
    before = rss;
    return Promise.resolve(isSteady);
  });
  return streams;
}

async function measure({ stalled, ...options }: Case): Promise<readonly string[]> {
  await using rig = await TunnelRig.start(options);
  await down(rig); // warm: every function on the way is compiled
  const streams = await stall(rig, stalled);
  const downs: Figures[] = [];
  const ups: Figures[] = [];
  for (let round = 0; round < Number(values.rounds); round++) {
    downs.push(await timed(rig, down));
    ups.push(await timed(rig, up));
  }
  const { rss } = await rig.agentUsage();
  for (const stream of streams) stream.destroy();
  const mebibytes = [process.memoryUsage.rss(), rss].map((bytes) => (bytes / 2 ** 20).toFixed(0));
  return [...cells(downs), ...cells(ups), ...mebibytes];
}

function cells(all: readonly Figures[]): readonly string[] {
  const of = (name: keyof Figures) => median(all.map((figures) => figures[name])).toFixed(0);
  return [of("perSecond"), `${of("serverMs")} + ${of("nodeMs")}`];
}

const delayMs = Number(values.delay);
const CASES: readonly Case[] = [
  { name: "plain", isTls: false, delayMs: 0, stalled: 0 },
  { name: "TLS", isTls: true, delayMs: 0, stalled: 0 },
  { name: `TLS, ${delayMs} ms each way`, isTls: true, delayMs, stalled: 0 },
  { name: `TLS, ${STALLED} stalled streams`, isTls: true, delayMs: 0, stalled: STALLED },
];

process.stdout.write("| | from node MB/s | CPU ms/GB | to node MB/s | CPU ms/GB | server RSS MiB | node RSS MiB |\n");
process.stdout.write("|---|---|---|---|---|---|---|\n");
for (const each of CASES)
  if (each.name.includes(values.only))
    process.stdout.write(`| ${[each.name, ...(await measure(each))].join(" | ")} |\n`);
