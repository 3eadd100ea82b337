import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { attempt, type BenchContext } from "../bench-context.ts";
import type { DatabaseName } from "../databases.ts";
import { openDatabase, startStore } from "../target.ts";

export const SHARED_TABLE = "two servers on one database: event at the other server after the answer";

/** `pauseMs`: quiet time before each write. */
const CASES = [
  { row: "with 8 updates in flight", calls: 1000, pauseMs: 0, traffic: 8 },
  { row: "alone", calls: 500, pauseMs: 0, traffic: 0 },
  { row: "after 1 s of silence", calls: 30, pauseMs: 1000, traffic: 0 },
] as const;
const SHARED: readonly DatabaseName[] = ["mariadb", "postgres", "nats"];

/** How soon a server tells its watches what another one wrote. */
export async function measureShared(context: BenchContext): Promise<void> {
  for (const name of SHARED.filter((one) => context.options.targets.includes(one)))
    await attempt(context, `shared, ${name}`, () => measureDatabase(context, name));
}

async function measureDatabase({ generator, report, server: file }: BenchContext, name: DatabaseName): Promise<void> {
  await using undo = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), `bench-shared-${name}-`));
  undo.defer(() => rm(folder, { recursive: true, force: true }));
  const { endpoint } = await openDatabase(name, folder, undo);
  const server = async (own: string) => {
    const options = { endpoint, folder: join(folder, own) };
    await mkdir(options.folder);
    return undo.use(await startStore(file, options));
  };
  const endpoints = [(await server("a")).greeting, (await server("b")).greeting] as const;
  for (const { row, ...rest } of CASES) {
    const figures = await generator.run({ kind: "shared", endpoints, ...rest });
    const note = (figure: string, value: number) =>
      report.note({ table: SHARED_TABLE, row: `${row}, ${figure}`, column: name }, value);
    note("p50 ms", figures.p50Ms);
    note("p99 ms", figures.p99Ms);
    note("worst ms", figures.maxMs);
  }
}
