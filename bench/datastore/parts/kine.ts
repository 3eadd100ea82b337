import { join } from "node:path";
import { attempt, type BenchContext } from "../bench-context.ts";
import { Child } from "../child.ts";
import type { Figures } from "../load.ts";
import { KINE_BOUND } from "../report.ts";
import { keysTable } from "./session.ts";

/** Argument of bench/kine-statements.ts, as JSON. */
export interface KineRun {
  readonly keys: number;
  /** How durable a commit is: FULL is ours, NORMAL may lose the last ones with the power. */
  readonly synchronous: "FULL" | "NORMAL";
}

type Call = "create" | "update" | "get" | "page" | "count";
export type KineFigures = Readonly<Record<Call, Figures>>;

/** Rows of the table that ours and etcd's figures are in. SQLite lets one write at a time, so more in flight gain nothing. */
const ROWS: readonly { readonly call: Call; readonly row: string; readonly isRate: boolean }[] = [
  ...(["create", "update"] as const).flatMap((call) =>
    [1, 64, 256].map((inFlight) => ({ call, row: `${call}, ${inFlight} in flight, per s`, isRate: true })),
  ),
  ...[1, 64].map((inFlight) => ({ call: "get" as const, row: `get, ${inFlight} in flight, per s`, isRate: true })),
  ...(["create", "update", "get"] as const).map((call) => ({
    call,
    row: `${call}, 1 in flight, p50 ms`,
    isRate: false,
  })),
  { call: "page", row: "page of 500 with count, 1 in flight, p50 ms", isRate: false },
  { call: "count", row: "count of all keys, 1 in flight, p50 ms", isRate: false },
];

/** What kine needs at least: its statements on a table like its own, one after the other, and no server around them. */
export async function measureKine(context: BenchContext): Promise<void> {
  for (const keys of context.options.keys)
    for (const synchronous of ["FULL", "NORMAL"] as const)
      await attempt(context, `kine's statements, ${keys} keys, ${synchronous}`, async () => {
        const argument = JSON.stringify({ keys, synchronous } satisfies KineRun);
        await using child = await Child.start({
          file: join(import.meta.dirname, "../../kine-statements.ts"),
          argument,
          execArgv: ["--no-warnings"],
        });
        const figures = await child.ask<KineFigures>({});
        for (const { call, row, isRate } of ROWS) {
          const { perSecond, p50Ms } = figures[call];
          const column = synchronous === "FULL" ? KINE_BOUND : `kine's SQL, ${synchronous}`;
          context.report.note({ table: keysTable(keys), row, column }, isRate ? perSecond : p50Ms);
        }
      });
}
