/**
 * What one unary call costs the server on each transport: Range of a key that is not there, on an empty store, over the
 * unix socket. Processor time is that of the whole server process.
 *
 *   node bench/transport.ts [--calls 100000] [--rounds 3]
 */
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { median } from "./median.ts";
import { RawGrpcClient } from "./raw-grpc-client.ts";

const { values } = parseArgs({
  options: { calls: { type: "string", default: "100000" }, rounds: { type: "string", default: "3" } },
});
const TRANSPORTS = ["http2", "grpc-js"] as const;
const IN_FLIGHT = [1, 64] as const;
/** Enough for every function on the way to be compiled. */
const WARM_CALLS = 30_000;
const RANGE_OF_HEALTH = Buffer.from("\n\x10/registry/health");

interface Usage {
  readonly cpuMicros: number;
  readonly rssBytes: number;
}

interface Figures {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly cpuMicros: number;
  readonly rssMib: number;
}

async function usageOf(server: ChildProcess): Promise<Usage> {
  server.send("usage");
  const [usage] = (await once(server, "message")) as [Usage];
  return usage;
}

async function measure(server: ChildProcess, socketPath: string, inFlight: number): Promise<Figures> {
  const client = await RawGrpcClient.connect(socketPath, "/etcdserverpb.KV/Range", RANGE_OF_HEALTH);
  const calls = Math.ceil(Number(values.calls) / (inFlight === 1 ? 4 : 1));
  await client.run(WARM_CALLS, 64);
  const before = await usageOf(server);
  const startedAt = performance.now();
  const took = (await client.run(calls, inFlight)).sort();
  const seconds = (performance.now() - startedAt) / 1000;
  const after = await usageOf(server);
  client.close();
  return {
    perSecond: calls / seconds,
    p50Ms: took[Math.floor(calls / 2)] ?? Number.NaN,
    p99Ms: took[Math.floor(calls * 0.99)] ?? Number.NaN,
    cpuMicros: (after.cpuMicros - before.cpuMicros) / calls,
    rssMib: after.rssBytes / 2 ** 20,
  };
}

async function measureTransport(transport: string): Promise<ReadonlyMap<number, Figures>> {
  await using undo = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "k3s-bench-transport-"));
  undo.defer(() => rm(folder, { recursive: true, force: true }));
  const server = fork(join(import.meta.dirname, "transport-server.ts"), [folder, transport]);
  undo.defer(() => void server.kill("SIGKILL"));
  await once(server, "message");
  const figures = new Map<number, Figures>();
  for (const inFlight of IN_FLIGHT) figures.set(inFlight, await measure(server, join(folder, "kine.sock"), inFlight));
  return figures;
}

const rounds = new Map<string, Figures[]>();
for (let round = 0; round < Number(values.rounds); round++)
  for (const transport of TRANSPORTS)
    for (const [inFlight, figures] of await measureTransport(transport)) {
      const key = `${transport} ${inFlight}`;
      rounds.set(key, [...(rounds.get(key) ?? []), figures]);
    }

process.stdout.write("| transport | in flight | calls/s | p50 ms | p99 ms | server CPU µs/call | RSS MiB |\n");
process.stdout.write("|---|---|---|---|---|---|---|\n");
for (const [key, all] of rounds) {
  const of = (name: keyof Figures) => median(all.map((figures) => figures[name]));
  const [transport = "", inFlight = ""] = key.split(" ");
  const cells = [of("perSecond").toFixed(0), of("p50Ms").toFixed(3), of("p99Ms").toFixed(2)];
  process.stdout.write(
    `| ${[transport, inFlight, ...cells, of("cpuMicros").toFixed(1), of("rssMib").toFixed(0)].join(" | ")} |\n`,
  );
}
