import type { TargetName } from "./target.ts";
import { checkPerfTable } from "./parts/check-perf.ts";
import { OUTAGE_TABLE, OUTAGES } from "./parts/outage.ts";
import { keysTable } from "./parts/session.ts";
import { SHARED_TABLE } from "./parts/shared.ts";
import { TRANSPORT_TABLE } from "./parts/transport.ts";
import { formatNumber, markdown, type Report } from "./report.ts";

/** What the datastore must reach. */
interface Goal {
  readonly what: string;
  readonly limit: number;
  readonly is: "least" | "most";
  /** undefined: not measured. */
  readonly measured: (report: Report) => number | undefined;
}

/** Row with the time of one fsync, which the limit of a create's time contains. */
export const FSYNC = { table: "the machine", row: "write of 4 KiB with fdatasync, p50 ms", column: "all" } as const;
const BLOCKED = "main thread blocked at most";

const HUNDRED_THOUSAND = keysTable(100_000);
const MILLION = keysTable(1_000_000);
const PAGE = "page of 500 with count, 1 in flight, p50 ms";

const at =
  (table: string, row: string, column = "sqlite") =>
  (report: Report) =>
    report.median(table, row, column);
/** Ours in relation to etcd. */
const ratio =
  (table: string, row: string, column = "sqlite") =>
  (report: Report) => {
    const [ours, peer] = [report.median(table, row, column), report.median(table, row, "etcd")];
    return ours === undefined || peer === undefined ? undefined : ours / peer;
  };
const createWithoutSync = (report: Report) => {
  const [create, sync] = [
    report.median(HUNDRED_THOUSAND, "create, 1 in flight, p50 ms", "sqlite"),
    report.median(FSYNC.table, FSYNC.row, FSYNC.column),
  ];
  return create === undefined || sync === undefined ? undefined : create - sync;
};

const least = (what: string, limit: number, measured: Goal["measured"]): Goal => ({
  what,
  limit,
  is: "least",
  measured,
});
const most = (what: string, limit: number, measured: Goal["measured"]): Goal => ({ what, limit, is: "most", measured });

const WRITES = ["create", "update"].flatMap((call) => {
  const row = `${call}, 64 in flight, per s`;
  return [
    least(`${call}s a second, 64 in flight`, 8000, at(HUNDRED_THOUSAND, row)),
    least(`${call}s a second, 64 in flight, times etcd's`, 1.5, ratio(HUNDRED_THOUSAND, row)),
  ];
});

const SQLITE: readonly Goal[] = [
  least("check perf l passes", 1, at(checkPerfTable("l"), "passed (1) or not (0)")),
  most("memory after check perf l, times etcd's", 0.25, ratio(checkPerfTable("l"), "memory, PSS MiB")),
  least("check perf xl, writes a second, times etcd's", 2, ratio(checkPerfTable("xl"), "writes per s")),
  ...WRITES,
  most("create, 1 in flight, p50 without one fsync, ms", 1, createWithoutSync),
  least(
    "transport, calls a second, 64 in flight, times Go's",
    1,
    ratio(TRANSPORT_TABLE, "64 in flight, calls per s", "ours"),
  ),
  ...reads("sqlite"),
  most("event after answer, p50 ms", 1, at(HUNDRED_THOUSAND, "event after answer, p50 ms")),
  most("event after answer, p99 ms", 5, at(HUNDRED_THOUSAND, "event after answer, p99 ms")),
  most("progress request, p50 ms", 1, at(HUNDRED_THOUSAND, "progress request, p50 ms")),
  most("restart with 100,000 keys, ms", 1500, at(HUNDRED_THOUSAND, "restart to first answer, ms")),
  most("restart with 1,000,000 keys, ms", 8000, at(MILLION, "restart to first answer, ms")),
  most("memory with 1,000,000 keys, PSS MiB", 600, at(MILLION, "memory when filled, PSS MiB")),
  most(
    "worst write while compacting 1,000,000 rows, ms",
    100,
    at(MILLION, "worst write while compacting one version of all keys, ms"),
  ),
  most("main thread blocked at most, ms", 50, (report) => report.largest("sqlite", (row) => row.startsWith(BLOCKED))),
];

const DATABASES = (["mariadb", "postgres"] as const).flatMap((name) => [
  least(`${name}: creates a second, 64 in flight`, 3000, at(HUNDRED_THOUSAND, "create, 64 in flight, per s", name)),
  ...reads(name),
  most(
    `${name}: other server's event under traffic, p99 ms`,
    25,
    at(SHARED_TABLE, "with 8 updates in flight, p99 ms", name),
  ),
  most(
    `${name}: other server's event after silence, p99 ms`,
    100,
    at(SHARED_TABLE, "after 1 s of silence, p99 ms", name),
  ),
]);

const RETURNS = (["mariadb", "postgres", "nats"] as const).flatMap((name) =>
  OUTAGES.map((outage) =>
    most(`${name} ${outage}: first write after its return, ms`, 2000, at(OUTAGE_TABLE, `${outage}, ms`, name)),
  ),
);

function reads(name: TargetName): readonly Goal[] {
  const prefix = name === "sqlite" ? "" : `${name}: `;
  return [
    most(`${prefix}get, 1 in flight, p50 ms`, 0.15, at(HUNDRED_THOUSAND, "get, 1 in flight, p50 ms", name)),
    least(`${prefix}gets a second, 64 in flight`, 25_000, at(HUNDRED_THOUSAND, "get, 64 in flight, per s", name)),
    most(`${prefix}page of 500 with count of 100,000, p50 ms`, 3, at(HUNDRED_THOUSAND, PAGE, name)),
  ];
}

/** The closing table: target, measured, met or not. What this run did not measure is named below it. */
export function goalsText(report: Report): string {
  const results = [...SQLITE, ...DATABASES, ...RETURNS].map((goal) => ({ ...goal, value: goal.measured(report) }));
  const rows = results.flatMap(({ what, limit, is, value }) => {
    if (value === undefined) return [];
    const isMet = is === "least" ? value >= limit : value <= limit;
    return [[what, `${is === "least" ? "≥" : "≤"} ${limit}`, formatNumber(value), isMet ? "met" : "NOT met"]];
  });
  const missing = results.filter(({ value }) => value === undefined).map(({ what }) => what);
  const rest = missing.length === 0 ? "" : `\n\nNot measured by this run: ${missing.join("; ")}`;
  return markdown([["must reach", "target", "measured", ""], ...rows]) + rest;
}
