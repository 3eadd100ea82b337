import type { ConnectionStats } from "@k3s/datastore";
import { Counter, Gauge, type MetricsRegistry } from "@k3s/metrics";

/** The name that kine gives its database. */
const LABELS = { db_name: "kine" };

/** The pool of connections under the names of Go's exporter, prometheus/client_golang `NewDBStatsCollector`, as kine has them. */
export class ConnectionMetrics {
  /** Whose connections are shown. */
  source: (() => ConnectionStats | undefined) | undefined;
  readonly #registry: MetricsRegistry;

  constructor(registry: MetricsRegistry) {
    this.#registry = registry;
    const shown = [...this.#gauges(), ...this.#counters()];
    registry.beforeText(() => {
      const stats = this.source?.();
      if (stats !== undefined) for (const show of shown) show(stats);
    });
  }

  #gauges() {
    const gauge = (name: string, help: string, value: (stats: ConnectionStats) => number) => {
      const metric = this.#registry.add(new Gauge({ name: `go_sql_${name}`, help, labels: ["db_name"] }));
      return (stats: ConnectionStats) => metric.set(LABELS, value(stats));
    };
    return [
      gauge("max_open_connections", "Maximum number of open connections to the database", ({ limit }) => limit),
      gauge("open_connections", "Connections that are open, both in use and idle", ({ open }) => open),
      gauge("in_use_connections", "Connections that are in use", ({ inUse }) => inUse),
      gauge("idle_connections", "Connections that are open and not in use", ({ open, inUse }) => open - inUse),
    ];
  }

  #counters() {
    const counter = (name: string, help: string, value: (stats: ConnectionStats) => number) => {
      const metric = this.#registry.add(new Counter({ name: `go_sql_${name}_total`, help, labels: ["db_name"] }));
      return (stats: ConnectionStats) => metric.raiseTo(LABELS, value(stats));
    };
    return [
      counter("wait_count", "Statements that waited for a connection", ({ waits }) => waits),
      counter("wait_duration_seconds", "Time that statements waited for a connection", (stats) => stats.waitSeconds),
      counter("max_idle_closed", "Connections closed as more than may idle", ({ closed }) => closed.spare),
      counter("max_idle_time_closed", "Connections closed as idle for too long", ({ closed }) => closed.idle),
      counter("max_lifetime_closed", "Connections closed as too old", ({ closed }) => closed.old),
    ];
  }
}
