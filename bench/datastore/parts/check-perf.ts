import { execa } from "execa";
import { findProgram } from "@k3s/testkit";
import { attempt, type BenchContext } from "../bench-context.ts";
import type { LoadName } from "../options.ts";
import { startTarget, type TargetName } from "../target.ts";

const LIMIT_MS = 5 * 60_000;

/** Name of the table of one load. */
export function checkPerfTable(load: LoadName): string {
  return `etcdctl check perf --load=${load}`;
}

/** Each load on each target, on a new datastore. Beside SQLite on none as well: more than that the load does not ask for. */
export async function measureCheckPerf(context: BenchContext): Promise<void> {
  const { loads, targets } = context.options;
  const names: readonly TargetName[] = targets.includes("sqlite") ? [...targets, "unstored"] : targets;
  for (const load of loads)
    for (const name of names)
      await attempt(context, `check perf ${load}, ${name}`, () => checkPerf(context, load, name));
}

async function checkPerf({ report, server }: BenchContext, load: LoadName, name: TargetName): Promise<void> {
  await using target = await startTarget(name, { server });
  const args = ["check", "perf", `--load=${load}`, `--endpoints=${target.endpoint}`];
  const { stdout, stderr, exitCode } = await execa(await findProgram("etcdctl"), args, {
    env: { ETCDCTL_API: "3" },
    reject: false,
    timeout: LIMIT_MS,
    lines: false,
  });
  const figure = (pattern: RegExp) => {
    const [, text] = pattern.exec(stdout) ?? [];
    return text === undefined ? undefined : Number(text);
  };
  const note = (row: string, value: number | undefined) =>
    report.note({ table: checkPerfTable(load), row, column: name }, value);
  const perSecond = figure(/Throughput \D*(\d+) writes\/s/);
  if (perSecond === undefined) throw new Error(`Cannot read what etcdctl found: "${stderr.trim().slice(-300)}"`);
  note("passed (1) or not (0)", exitCode === 0 ? 1 : 0);
  note("writes per s", perSecond);
  note("slowest, s", figure(/Slowest request \D*([\d.]+)s/));
  note("standard deviation, s", figure(/Stddev \D*([\d.]+)s/));
  note("memory, PSS MiB", await target.pssMiB());
  note("memory of the database, PSS MiB", await target.databasePssMiB());
  const longest = await target.longestBlock();
  note("main thread blocked at most, ms", longest?.ms);
  note("the same in its own processor time, ms", longest?.processorMs);
}
