import type { Metric } from "./metric.ts";

/** Media type of {@link MetricsRegistry.text}: version 0.0.4 of Prometheus' exposition format. */
export const METRICS_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** Brings metrics up to date that are only worth measuring when somebody asks. */
type Refresh = () => Promise<void> | void;

/** Every metric of a process, and their text. Made by whoever starts things and handed down; there is no global one. */
export class MetricsRegistry {
  readonly #metrics = new Map<string, Metric>();
  readonly #refreshes: Refresh[] = [];

  /** Adds a metric and returns it. Throws when the name is taken. */
  add<M extends Metric>(metric: M): M {
    if (this.#metrics.has(metric.name)) throw new Error(`Cannot add metric "${metric.name}": it exists`);
    this.#metrics.set(metric.name, metric);
    return metric;
  }

  /** `refresh` runs before each text. One that fails leaves its metrics as they were and the others alone. */
  beforeText(refresh: Refresh): void {
    this.#refreshes.push(refresh);
  }

  /** All metrics in Prometheus' text format. Never rejects. */
  async text(): Promise<string> {
    await Promise.allSettled(this.#refreshes.map(async (refresh) => refresh()));
    return [...this.#metrics.values()].map((metric) => metric.render()).join("");
  }
}
