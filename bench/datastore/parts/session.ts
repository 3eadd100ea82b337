import { attempt, type BenchContext } from "../bench-context.ts";
import type { Job } from "../jobs.ts";
import type { Figures } from "../load.ts";
import { startTarget, type Target, type TargetName } from "../target.ts";

/** Name of the table for datastores of so many keys. */
export function keysTable(keys: number): string {
  return `${keys} keys of 1 KiB`;
}

interface Session {
  readonly context: BenchContext;
  readonly target: Target;
  readonly keys: number;
  readonly note: (row: string, value: number | undefined) => void;
}

/** One datastore of each size on each target: what calls cost, and what its size costs. */
export async function measureSessions(context: BenchContext): Promise<void> {
  for (const keys of context.options.keys)
    for (const name of context.options.targets)
      await attempt(context, `${keys} keys, ${name}`, () => measureSession(context, keys, name));
}

async function measureSession(context: BenchContext, keys: number, name: TargetName): Promise<void> {
  await using target = await startTarget(name, { server: context.server });
  const note = (row: string, value: number | undefined) =>
    context.report.note({ table: keysTable(keys), row, column: name }, value);
  const session = { context, target, keys, note };
  await context.generator.run({ kind: "connect", endpoint: target.endpoint, keys: 0 });
  const { parts } = context.options;
  await fill(session);
  if (parts.includes("calls")) await measureCalls(session);
  if (parts.includes("scale")) await measureScale(session);
}

async function fill(session: Session): Promise<void> {
  const { keys, target, note } = session;
  const [few, many] = [Math.min(1000, keys / 10), Math.floor(keys / 5)];
  await measure(session, "create, 1 in flight", { kind: "create", inFlight: 1, calls: few });
  await measure(session, "create, 256 in flight", { kind: "create", inFlight: 256, calls: many });
  await measure(session, "create, 64 in flight", { kind: "create", inFlight: 64, calls: keys - few - many });
  note("memory when filled, PSS MiB", await target.pssMiB());
  note("memory of the database, PSS MiB", await target.databasePssMiB());
  note("disk when filled, MiB", (await target.diskBytes()) / 2 ** 20);
  await noteBlock(session, "filling");
}

/** Calls of a kind, by how many are under way. */
const LOADS = [
  { kind: "update", calls: { 1: 1000, 64: 20_000, 256: 20_000 } },
  { kind: "get", calls: { 1: 5000, 64: 100_000, 256: 100_000 } },
  { kind: "list", calls: { 1: 100, 64: 600, 256: 600 } },
  { kind: "page", calls: { 1: 300, 64: 2000, 256: 2000 } },
  { kind: "count", calls: { 1: 500, 64: 20_000, 256: 20_000 } },
] as const;
const NAMES = {
  ...{ update: "update", get: "get", list: "list of a hundredth of the keys" },
  ...{ page: "page of 500 with count", count: "count of all keys" },
};
/** Clients that watch, and updates of other keys under way. */
const WATCHES = [
  { row: "event after answer", watchers: 1, traffic: 0 },
  { row: "event after answer, with 8 updates in flight", watchers: 1, traffic: 8 },
  { row: "event at the last of 64 clients", watchers: 64, traffic: 0 },
  { row: "event at the last of 256 clients", watchers: 256, traffic: 0 },
] as const;

async function measureCalls(session: Session): Promise<void> {
  for (const { kind, calls } of LOADS) {
    for (const [inFlight, count] of Object.entries(calls))
      await measure(session, `${NAMES[kind]}, ${inFlight} in flight`, {
        kind,
        inFlight: Number(inFlight),
        calls: count,
      });
    await noteBlock(session, NAMES[kind]);
  }
  for (const { row, ...rest } of WATCHES) await measure(session, row, { kind: "watch", calls: 500, ...rest });
  await measure(session, "progress request", { kind: "progress", calls: 500 });
  await noteBlock(session, "events and progress");
}

/** Since the last note. */
async function noteBlock({ note, target }: Session, during: string): Promise<void> {
  const longest = await target.longestBlock();
  note(`main thread blocked at most, ${during}, ms`, longest?.ms);
  note(`the same in its own processor time, ${during}, ms`, longest?.processorMs);
}

/** Makes every key's first version history, takes that away, starts again. */
async function measureScale(session: Session): Promise<void> {
  const { context, target, keys, note } = session;
  const { generator } = context;
  await generator.run({ kind: "overwrite", inFlight: 256, calls: keys });
  await target.longestBlock();
  const stall = await generator.run({ kind: "compact", ms: compactionMs(keys) });
  note("worst write while compacting one version of all keys, ms", stall.maxMs);
  note("p99 of writes meanwhile, ms", stall.p99Ms);
  await noteBlock(session, "compacting");
  note("disk after compaction, MiB", (await target.diskBytes()) / 2 ** 20);
  const startedAt = performance.now();
  await target.restart();
  await generator.run({ kind: "connect", endpoint: target.endpoint, keys });
  await generator.run({ kind: "count", inFlight: 1, calls: 1 });
  note("restart to first answer, ms", performance.now() - startedAt);
  note("memory after restart, PSS MiB", await target.pssMiB());
}

/** Time enough for the slowest of the targets to take the rows away. */
function compactionMs(keys: number): number {
  return Math.max(5000, keys / 20);
}

async function measure({ context, note }: Session, row: string, job: Job): Promise<void> {
  const figures: Figures = await context.generator.run(job);
  if (!Number.isNaN(figures.perSecond) && job.kind !== "watch") note(`${row}, per s`, figures.perSecond);
  note(`${row}, p50 ms`, figures.p50Ms);
  note(`${row}, p99 ms`, figures.p99Ms);
}
