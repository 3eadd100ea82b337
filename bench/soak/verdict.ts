import type { Footprint } from "./target.ts";

/** One interval of the run. */
export interface Sample extends Footprint {
  readonly atSeconds: number;
  readonly writes: number;
  readonly failures: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export interface Verdict {
  readonly isFlat: boolean;
  readonly text: string;
}

/** How much more the last third may have than the middle one; a busy machine makes latency jump. */
const limits = { size: 1.1, memory: 1.15, p50: 1.3, p99: 2 };

/**
 * Compares the last third with the middle one: what still grows after the first third has no end. Sizes go up and
 * down as logs are written back, so their peaks are compared; of latencies the medians.
 */
export function judge(samples: readonly Sample[]): Verdict {
  const third = Math.floor(samples.length / 3);
  const [middle, last] = [samples.slice(third, -third), samples.slice(-third)];
  const growth = (of: (values: number[]) => number, value: (sample: Sample) => number) =>
    of(last.map(value)) / of(middle.map(value));
  const figures = {
    size: growth(peak, ({ databaseBytes, logBytes }) => databaseBytes + logBytes),
    memory: growth(peak, ({ pssBytes }) => pssBytes),
    p50: growth(median, ({ p50Ms }) => p50Ms),
    p99: growth(median, ({ p99Ms }) => p99Ms),
  };
  const failures = samples.reduce((sum, sample) => sum + sample.failures, 0);
  const parts = (Object.keys(limits) as (keyof typeof limits)[]).map((name) => ({
    isFlat: figures[name] <= limits[name],
    text: `${name} x${figures[name].toFixed(2)} (limit ${limits[name]})`,
  }));
  const isFlat = failures === 0 && third > 0 && parts.every((part) => part.isFlat);
  return { isFlat, text: [...parts.map((part) => part.text), `${failures} failed writes`].join(", ") };
}

/** The value below which `share` of all lie; NaN of none. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

function median(values: readonly number[]): number {
  return percentile(values, 0.5);
}

function peak(values: readonly number[]): number {
  return Math.max(...values);
}
