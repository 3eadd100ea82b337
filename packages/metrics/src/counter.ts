import { formatHeader, formatSample, SeriesMap, type Labels, type Metric, type MetricOptions } from "./metric.ts";

/** A sum that only grows. */
export class Counter<Name extends string = never> implements Metric {
  readonly name: string;
  readonly #help: string;
  readonly #series: SeriesMap<Name, { value: number }>;

  constructor({ name, help, labels = [] }: MetricOptions<Name>) {
    this.name = name;
    this.#help = help;
    this.#series = new SeriesMap(labels, () => ({ value: 0 }));
  }

  /** `by` must not be negative. */
  increment(labels: Labels<Name>, by = 1): void {
    this.#series.get(labels).value += by;
  }

  /** For a sum that is kept elsewhere; a smaller value is ignored. */
  raiseTo(labels: Labels<Name>, value: number): void {
    const state = this.#series.get(labels);
    state.value = Math.max(state.value, value);
  }

  render(): string {
    const samples = Array.from(this.#series.values(), ({ labels, state }) =>
      formatSample(this.name, labels, state.value),
    );
    return formatHeader("counter", this.name, this.#help) + samples.join("");
  }
}
