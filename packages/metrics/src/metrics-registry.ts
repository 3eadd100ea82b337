import { aborted, deadline } from "@k3s/async";
import type { Metric } from "./metric.ts";

/** Media type of {@link MetricsRegistry.text}: version 0.0.4 of Prometheus' exposition format. */
export const METRICS_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** Brings metrics up to date that are only worth measuring when somebody asks. */
type Refresh = () => Promise<void> | void;

/** Prometheus gives up after 10 s by default, and then has nothing at all. */
const REFRESH_LIMIT_MS = 2000;

/** Every metric of a process, and their text. Made by whoever starts things and handed down; there is no global one. */
export class MetricsRegistry {
  readonly #metrics = new Map<string, Metric>();
  readonly #refreshes: (() => Promise<void>)[] = [];

  /** Adds a metric and returns it. Throws when the name is taken. */
  add<M extends Metric>(metric: M): M {
    if (this.#metrics.has(metric.name)) throw new Error(`Cannot add metric "${metric.name}": it exists`);
    this.#metrics.set(metric.name, metric);
    return metric;
  }

  /**
   * `refresh` runs before each text, but never beside itself: a text that is asked for meanwhile waits for the run there is. One that
   * fails, or takes longer than a text waits, leaves its metrics as they were and the others alone.
   */
  beforeText(refresh: Refresh): void {
    this.#refreshes.push(oneAtATime(refresh));
  }

  /** All metrics in Prometheus' text format, within little more than two seconds. Never rejects. */
  async text(): Promise<string> {
    using limit = deadline(REFRESH_LIMIT_MS, "Bringing metrics up to date");
    await Promise.race([Promise.all(this.#refreshes.map((refresh) => refresh())), aborted(limit)]);
    return [...this.#metrics.values()].map((metric) => metric.render()).join("");
  }
}

/** Runs `refresh` unless it is running, and resolves when it has ended, however it did. */
function oneAtATime(refresh: Refresh): () => Promise<void> {
  let running: Promise<void> | undefined;
  const attempt = async () => refresh(); // rejects where refresh throws
  const run = async () => {
    await Promise.allSettled([attempt()]);
    running = undefined;
  };
  return () => (running ??= run());
}
