import { formatHeader, formatSample, SeriesMap, type Labels, type Metric, type MetricOptions } from "./metric.ts";

/** A value that goes up and down. */
export class Gauge<Name extends string = never> implements Metric {
  readonly name: string;
  readonly #help: string;
  readonly #series: SeriesMap<Name, { value: number }>;

  constructor({ name, help, labels = [] }: MetricOptions<Name>) {
    this.name = name;
    this.#help = help;
    this.#series = new SeriesMap(labels, () => ({ value: 0 }));
  }

  set(labels: Labels<Name>, value: number): void {
    this.#series.get(labels).value = value;
  }

  /** Forgets every combination of labels, for things that come and go. */
  clear(): void {
    this.#series.clear();
  }

  render(): string {
    const samples = Array.from(this.#series.values(), ({ labels, state }) =>
      formatSample(this.name, labels, state.value),
    );
    return formatHeader("gauge", this.name, this.#help) + samples.join("");
  }
}
