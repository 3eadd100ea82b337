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
}

/** Keeps `inFlight` calls under way until `calls` are done. */
export async function load(step: Step, { clients, inFlight, calls }: LoadOptions): Promise<Figures> {
  const durations = new Float64Array(calls);
  let next = 0;
  const lane = async (client: RawClient) => {
    for (let n = next++; n < calls; n = next++) {
      const startedAt = performance.now();
      await step(client, n);
      durations[n] = performance.now() - startedAt;
    }
  };
  const startedAt = performance.now();
  const lanes = Array.from({ length: inFlight }, (_, i) => clients.slice(i % clients.length)[0]);
  await Promise.all(lanes.filter((client) => client !== undefined).map(lane));
  const seconds = (performance.now() - startedAt) / 1000;
  return { perSecond: calls / seconds, ...percentiles(durations) };
}

/** Middle, 99th percentile and worst of durations in ms. */
export function percentiles(durations: Float64Array): Omit<Figures, "perSecond"> {
  const sorted = durations.toSorted();
  const at = (part: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
  return { p50Ms: at(0.5), p99Ms: at(0.99), maxMs: at(1) };
}
