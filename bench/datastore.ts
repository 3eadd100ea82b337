/**
 * Our datastore on each of its drivers beside etcd, on the same machine, one after the other, with the same requests.
 *
 *   node bench/datastore.ts [--targets sqlite,etcd] [--only calls,perf] [--loads s,m,l,xl] [--keys 1000,100000] [--rounds 3]
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { BenchContext } from "./datastore/bench-context.ts";
import { bundleServer } from "./datastore/bundle-server.ts";
import { fsyncMs } from "./datastore/fsync.ts";
import { FSYNC, goalsText } from "./datastore/goals.ts";
import { LoadGenerator } from "./datastore/load-generator.ts";
import { parseBenchOptions, USAGE, type BenchOptions } from "./datastore/options.ts";
import { measureCheckPerf } from "./datastore/parts/check-perf.ts";
import { measureKine } from "./datastore/parts/kine.ts";
import { measureOutages } from "./datastore/parts/outage.ts";
import { measureSessions } from "./datastore/parts/session.ts";
import { measureShared } from "./datastore/parts/shared.ts";
import { measureTransport } from "./datastore/parts/transport.ts";
import { Report } from "./datastore/report.ts";

const asked = parseBenchOptions(process.argv.slice(2));
if (asked === "help") process.stdout.write(USAGE);
else await bench(asked);

async function bench(options: BenchOptions): Promise<void> {
  await using undo = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "bench-server-"));
  undo.defer(() => rm(folder, { recursive: true, force: true }));
  const server = await bundleServer(folder);
  const report = new Report();
  for (let round = 1; round <= options.rounds; round++) {
    process.stderr.write(`round ${round} of ${options.rounds}\n`);
    await using generator = new LoadGenerator();
    await runParts({ options, report, server, generator });
  }
  process.stdout.write(`${report.text()}\n\n${goalsText(report)}\n`);
}

async function runParts(context: BenchContext): Promise<void> {
  const { report } = context;
  const { parts } = context.options;
  report.note(FSYNC, await fsyncMs());
  if (parts.includes("perf")) await measureCheckPerf(context);
  if (parts.includes("calls") || parts.includes("scale")) await measureSessions(context);
  if (parts.includes("kine")) await measureKine(context);
  if (parts.includes("transport")) await measureTransport(context);
  if (parts.includes("shared")) await measureShared(context);
  if (parts.includes("outage")) await measureOutages(context);
}
