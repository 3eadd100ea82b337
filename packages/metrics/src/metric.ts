/** A value for each label name of a metric. */
export type Labels<Name extends string> = Readonly<Record<Name, string>>;

export interface MetricOptions<Name extends string> {
  /** As Prometheus wants it: unit at the end, `_total` for counters. */
  readonly name: string;
  readonly help: string;
  /** Their order is that of the output. Every combination of values lives as long as the metric: keep them few. */
  readonly labels?: readonly Name[];
}

/** What a registry needs of a metric. */
export interface Metric {
  readonly name: string;
  /** The whole family in Prometheus' text format, each line with its line feed. */
  render(): string;
}

/** One combination of label values and what was measured for it. */
interface Series<State> {
  /** `name="value",…` without braces. */
  readonly labels: string;
  readonly state: State;
}

/** The series of one metric, found by their label values. */
export class SeriesMap<Name extends string, State> {
  readonly #names: readonly Name[];
  readonly #series = new Map<string, Series<State>>();
  readonly #create: () => State;

  /** Without label names there is one series, from the start. */
  constructor(names: readonly Name[], create: () => State) {
    this.#names = names;
    this.#create = create;
    if (names.length === 0) this.#series.set("", { labels: "", state: create() });
  }

  get(labels: Labels<Name>): State {
    const key = this.#names.map((name) => labels[name]).join("\0");
    const known = this.#series.get(key);
    if (known !== undefined) return known.state;
    const text = this.#names.map((name) => `${name}="${escapeValue(labels[name])}"`).join(",");
    const series = { labels: text, state: this.#create() };
    this.#series.set(key, series);
    return series.state;
  }

  /** Forgets every series; without label names the one there is begins anew. */
  clear(): void {
    this.#series.clear();
    if (this.#names.length === 0) this.#series.set("", { labels: "", state: this.#create() });
  }

  values(): Iterable<Series<State>> {
    return this.#series.values();
  }
}

/** The two comment lines before the samples of a family. */
export function formatHeader(type: "counter" | "gauge" | "histogram", name: string, help: string): string {
  const text = help.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
  return `# HELP ${name} ${text}\n# TYPE ${name} ${type}\n`;
}

/** One line; `labels` as in {@link Series}. */
export function formatSample(name: string, labels: string, value: number): string {
  return `${name}${labels === "" ? "" : `{${labels}}`} ${formatNumber(value)}\n`;
}

/** A number as Prometheus writes it. */
export function formatNumber(value: number): string {
  if (Number.isFinite(value)) return String(value);
  return Number.isNaN(value) ? "NaN" : value > 0 ? "+Inf" : "-Inf";
}

function escapeValue(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
