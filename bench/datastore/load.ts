import type { RawClient } from "./raw-client.ts";

/** What a workload measured. */
export interface Figures {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

/** One call; `n` counts all calls of the run. */
export type Step = (client: RawClient, n: number) => Promise<unknown>;

interface LoadOptions {
  readonly clients: readonly RawClient[];
  /** Calls under way at any time, spread over the clients. */
  readonly inFlight: number;
  readonly calls: number;
  /** Default: none. */
  readonly limitMs?: number;
}

/** Keeps `inFlight` calls under way until `calls` are done, or the time is up. */
export async function load(step: Step, options: LoadOptions): Promise<Figures> {
  const { clients, inFlight, calls, limitMs = Infinity } = options;
  const durations: number[] = [];
  let next = 0;
  const startedAt = performance.now();
  const isDue = (n: number) => n < calls && performance.now() - startedAt < limitMs;
  const lane = async (client: RawClient) => {
    for (let n = next++; isDue(n); n = next++) {
      const calledAt = performance.now();
      await step(client, n);
      durations.push(performance.now() - calledAt);
    }
  };
  const lanes = Array.from({ length: inFlight }, (_, i) => clients.slice(i % clients.length)[0]);
  await Promise.all(lanes.filter((client) => client !== undefined).map(lane));
  const seconds = (performance.now() - startedAt) / 1000;
  return { perSecond: durations.length / seconds, ...percentiles(Float64Array.from(durations)) };
}

/** Middle, 99th percentile and worst of durations in ms. */
export function percentiles(durations: Float64Array): Omit<Figures, "perSecond"> {
  const sorted = durations.toSorted();
  const at = (part: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
  return { p50Ms: at(0.5), p99Ms: at(0.99), maxMs: at(1) };
}
