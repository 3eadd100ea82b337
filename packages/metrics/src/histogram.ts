import {
  formatHeader,
  formatNumber,
  formatSample,
  SeriesMap,
  type Labels,
  type Metric,
  type MetricOptions,
} from "./metric.ts";

interface Distribution {
  /** Observations per bucket, each on its own; the last is everything above all bounds. */
  readonly counts: number[];
  sum: number;
}

/** How observations are distributed over buckets. */
export class Histogram<Name extends string = never> implements Metric {
  readonly name: string;
  readonly #help: string;
  readonly #bounds: readonly number[];
  readonly #series: SeriesMap<Name, Distribution>;

  /** `buckets`: upper bounds, inclusive, ascending, without infinity. */
  constructor({ name, help, labels = [], buckets }: MetricOptions<Name> & { readonly buckets: readonly number[] }) {
    this.name = name;
    this.#help = help;
    this.#bounds = buckets;
    this.#series = new SeriesMap(labels, () => ({ counts: new Array<number>(buckets.length + 1).fill(0), sum: 0 }));
  }

  observe(labels: Labels<Name>, value: number): void {
    const state = this.#series.get(labels);
    const found = this.#bounds.findIndex((bound) => value <= bound);
    const index = found === -1 ? this.#bounds.length : found;
    state.counts[index] = (state.counts[index] ?? 0) + 1;
    state.sum += value;
  }

  render(): string {
    const samples = Array.from(this.#series.values(), ({ labels, state }) => this.#renderSeries(labels, state));
    return formatHeader("histogram", this.name, this.#help) + samples.join("");
  }

  #renderSeries(labels: string, { counts, sum }: Distribution): string {
    const separator = labels === "" ? "" : ",";
    let total = 0;
    const buckets = counts.map((count, index) => {
      total += count;
      const bound = formatNumber(this.#bounds[index] ?? Infinity);
      return formatSample(`${this.name}_bucket`, `${labels}${separator}le="${bound}"`, total);
    });
    const totals = [formatSample(`${this.name}_sum`, labels, sum), formatSample(`${this.name}_count`, labels, total)];
    return [...buckets, ...totals].join("");
  }
}

/** `count` bounds, the first `start`, each `factor` times the one before. */
export function exponentialBuckets(start: number, factor: number, count: number): readonly number[] {
  return Array.from({ length: count }, (_, index) => start * factor ** index);
}
