import { cpuMicros } from "../../process-usage.ts";
import { attempt, type BenchContext } from "../bench-context.ts";
import { WARM_CALLS } from "../jobs.ts";
import { startTarget, type TargetName, type TargetOptions } from "../target.ts";

export const TRANSPORT_TABLE = "transport alone (grpc.health.v1.Health/Check)";

const PATH = "/grpc.health.v1.Health/Check";
const CALLS = { 1: 20_000, 64: 200_000 } as const;
/** Go's grpc server is the one inside etcd. */
const SERVERS: readonly {
  readonly column: string;
  readonly target: TargetName;
  readonly options: Omit<TargetOptions, "server">;
}[] = [
  { column: "ours", target: "sqlite", options: { transport: "http2" } },
  { column: "grpc-js", target: "sqlite", options: { transport: "grpc-js" } },
  { column: "etcd", target: "etcd", options: {} },
];

/** A call that needs no storage, over TCP, on one connection: what is left is the transport. */
export async function measureTransport(context: BenchContext): Promise<void> {
  for (const { column, target: name, options } of SERVERS)
    await attempt(context, `transport, ${column}`, async () => {
      await using target = await startTarget(name, { server: context.server, ...options });
      for (const [inFlight, calls] of Object.entries(CALLS)) {
        const { endpoint } = target;
        const job = { kind: "unary", endpoint, path: PATH, inFlight: Number(inFlight) } as const;
        const before = await cpuMicros(target.pid);
        const figures = await context.generator.run({ ...job, calls });
        const cpu = await cpuMicros(target.pid);
        const note = (row: string, value: number) =>
          context.report.note({ table: TRANSPORT_TABLE, row: `${inFlight} in flight, ${row}`, column }, value);
        note("calls per s", figures.perSecond);
        note("p50 ms", figures.p50Ms);
        note("p99 ms", figures.p99Ms);
        note("server CPU per call, µs", (cpu - before) / (calls + WARM_CALLS));
      }
    });
}
