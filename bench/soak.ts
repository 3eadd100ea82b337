// Does a cluster that runs with compaction on grow or slow down? Real kube-apiservers write for a while; the figures
// of each datastore are taken at intervals, side by side, and the last third is compared with the middle one.
import { parseArgs } from "node:util";
import { repeat } from "@k3s/async";
import type { ApiAnswer } from "@k3s/testkit";
import { Churn } from "./soak/churn.ts";
import { startTarget, type Target, type TargetName } from "./soak/target.ts";
import { judge, percentile, type Sample } from "./soak/verdict.ts";

const MIB = 1 << 20;
const SAMPLES = 30;

const { values: options } = parseArgs({
  options: {
    minutes: { type: "string", default: "10" },
    rate: { type: "string", default: "50" },
    compaction: { type: "string", default: "30s" },
    peer: { type: "string" },
  },
});
if (options.peer !== undefined && options.peer !== "etcd")
  throw new Error(`Cannot compare with "${options.peer}": only etcd`);
const durationMs = Number(options.minutes) * 60_000;
const writesPerSecond = Number(options.rate);
if (!(durationMs > 0 && writesPerSecond > 0))
  throw new Error("Cannot run: --minutes and --rate must be positive numbers");
/** Events live for a sixth of the run, so that their number is steady when the first third is over. */
const eventTtl = `${Math.max(10, Math.round(durationMs / 6000))}s`;
const apiserverArgs = [`--etcd-compaction-interval=${options.compaction}`, `--event-ttl=${eventTtl}`];

process.exitCode = (await soak(options.peer === "etcd" ? ["k3s", "etcd"] : ["k3s"])) ? 0 : 1;

async function soak(names: readonly TargetName[]): Promise<boolean> {
  await using undo = new AsyncDisposableStack();
  const targets: Target[] = [];
  for (const name of names) targets.push(undo.use(await startTarget(name, apiserverArgs)));
  const loads = targets.map((target) => ({ target, churn: new Churn(target.kube) }));
  await Promise.all(loads.map(({ churn }) => churn.prepare()));
  console.log(
    `${options.minutes} min, ${writesPerSecond} writes/s each, compaction ${options.compaction}, event TTL ${eventTtl}`,
  );
  console.log("target     s  writes/s   p50 ms   p99 ms  db MiB  log MiB    rows  RSS MiB  PSS MiB  failed");
  const signal = AbortSignal.timeout(durationMs);
  const runs = await Promise.all(loads.map((load) => measure(load, signal)));
  const verdicts = runs.map(judge);
  verdicts.forEach((verdict, i) =>
    console.log(`${names[i]}: ${verdict.isFlat ? "FLAT" : "NOT FLAT"} after the first third: ${verdict.text}`),
  );
  return verdicts[0]?.isFlat ?? false;
}

interface Load {
  readonly target: Target;
  readonly churn: Churn;
}

async function measure({ target, churn }: Load, signal: AbortSignal): Promise<Sample[]> {
  const samples: Sample[] = [];
  const startedAt = performance.now();
  const stepMs = durationMs / SAMPLES;
  let durations: number[] = [];
  let failures = 0;
  const onWrite = (ms: number, { status }: ApiAnswer) => {
    durations.push(ms);
    if (status < 200 || status > 299) failures++;
  };
  const take = async () => {
    const [taken, failed] = [durations, failures];
    [durations, failures] = [[], 0];
    const sample: Sample = {
      atSeconds: (performance.now() - startedAt) / 1000,
      writes: taken.length,
      failures: failed,
      p50Ms: percentile(taken, 0.5),
      p99Ms: percentile(taken, 0.99),
      ...(await target.footprint()),
    };
    samples.push(sample);
    console.log(format(target.name, sample, stepMs / 1000));
  };
  await Promise.all([churn.run({ writesPerSecond, onWrite }, signal), repeat(stepMs, take, signal)]);
  return samples;
}

function format(name: string, sample: Sample, stepSeconds: number): string {
  const mib = (bytes: number) => (bytes / MIB).toFixed(1);
  return [
    name.padEnd(5),
    sample.atSeconds.toFixed(0).padStart(6),
    (sample.writes / stepSeconds).toFixed(1).padStart(9),
    sample.p50Ms.toFixed(1).padStart(8),
    sample.p99Ms.toFixed(1).padStart(8),
    mib(sample.databaseBytes).padStart(7),
    mib(sample.logBytes).padStart(8),
    String(sample.rows ?? "-").padStart(7),
    mib(sample.rssBytes).padStart(8),
    mib(sample.pssBytes).padStart(8),
    String(sample.failures).padStart(7),
  ].join(" ");
}
