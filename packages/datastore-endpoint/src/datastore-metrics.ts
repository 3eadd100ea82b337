import { DriverError, type Driver, type Store } from "@k3s/datastore";
import { Counter, exponentialBuckets, Gauge, Histogram, type MetricsRegistry } from "@k3s/metrics";
import { ConnectionMetrics } from "./connection-metrics.ts";

/** How long one statement took and what came of it. */
export interface Measurement {
  /** What the driver was asked, such as `commit`. */
  readonly statement: string;
  readonly seconds: number;
  /** Undefined: it succeeded. */
  readonly error: unknown;
}

/** Statements that were worth a line in the log. */
export type SlowSeverity = "info" | "warn";

/** What is counted about a database: kine's metrics under kine's names and labels, and some of our own. */
export class DatastoreMetrics {
  readonly #registry: MetricsRegistry;
  readonly #total: Counter<"name" | "error_code">;
  readonly #time: Histogram<"name" | "error_code">;
  readonly #compactions: Counter<"result">;
  readonly #insertErrors: Counter<"retriable">;
  readonly #batchRows: Histogram;
  readonly #slow: Counter<"name" | "severity">;
  readonly #slowest: Gauge<"name">;
  readonly #slowestSeconds = new Map<string, number>();
  #connections: ConnectionMetrics | undefined;

  constructor(registry: MetricsRegistry) {
    this.#registry = registry;
    const statement = ["name", "error_code"] as const;
    // The first four are kine's, github.com/k3s-io/kine pkg/metrics.
    this.#total = registry.add(
      new Counter({ name: "kine_sql_total", help: "Total number of SQL operations", labels: statement }),
    );
    this.#time = registry.add(
      new Histogram({
        name: "kine_sql_time_seconds",
        help: "Length of time per SQL operation",
        labels: statement,
        buckets: exponentialBuckets(0.001, 2, 14),
      }),
    );
    this.#compactions = registry.add(
      new Counter({ name: "kine_compact_total", help: "Total number of compactions", labels: ["result"] }),
    );
    this.#insertErrors = registry.add(
      new Counter({
        name: "kine_insert_errors_total",
        help: "Total number of insert retries due to unique constraint violations",
        labels: ["retriable"],
      }),
    );
    this.#batchRows = registry.add(
      new Histogram({
        name: "k3s_datastore_commit_rows",
        help: "Rows that one commit made durable",
        buckets: exponentialBuckets(1, 2, 9),
      }),
    );
    this.#slow = registry.add(
      new Counter({
        name: "k3s_datastore_slow_statements_total",
        help: "Statements over the thresholds of the log",
        labels: ["name", "severity"],
      }),
    );
    this.#slowest = registry.add(
      new Gauge({
        name: "k3s_datastore_slowest_statement_seconds",
        help: "Longest time that one statement took since the start",
        labels: ["name"],
      }),
    );
  }

  measure({ statement, seconds, error }: Measurement): void {
    const labels = { name: statement, error_code: error === undefined ? "" : errorCode(error) };
    this.#total.increment(labels);
    this.#time.observe(labels, seconds);
    if (seconds <= (this.#slowestSeconds.get(statement) ?? -1)) return;
    this.#slowestSeconds.set(statement, seconds);
    this.#slowest.set({ name: statement }, seconds);
  }

  countCommit({ rows, isCompaction }: { rows: number; isCompaction: boolean }, error: unknown): void {
    if (isCompaction) this.#compactions.increment({ result: error === undefined ? "success" : "error" });
    if (error === undefined) this.#batchRows.observe({}, rows);
    else this.#insertErrors.increment({ retriable: String(error instanceof DriverError && error.kind === "conflict") });
  }

  countSlow(statement: string, severity: SlowSeverity): void {
    this.#slow.increment({ name: statement, severity });
  }

  /** Shows the connections of this driver from now on, where it has some. */
  observeConnections(driver: Driver): void {
    if (driver.connections === undefined) return;
    this.#connections ??= new ConnectionMetrics(this.#registry);
    this.#connections.source = () => driver.connections?.();
  }

  /** Shows where the store stands whenever the text is asked for. `store` is asked for each time: it may come and go. */
  observeStore(store: () => Store): void {
    const gauge = (name: string, help: string) => this.#registry.add(new Gauge({ name, help }));
    const revision = gauge("k3s_datastore_revision", "Current revision of the store");
    const compacted = gauge("k3s_datastore_compact_revision", "Revision up to which history is compacted");
    const size = gauge("k3s_datastore_size_bytes", "Bytes of the database on disk");
    const inUse = gauge("k3s_datastore_size_in_use_bytes", "Bytes of the database in use");
    this.#registry.beforeText(async () => {
      const status = await store().status();
      revision.set({}, status.revision);
      compacted.set({}, status.compactRevision);
      size.set({}, status.dbSizeBytes);
      inUse.set({}, status.dbSizeInUseBytes);
    });
  }
}

/** The database's own code where there is one. */
function errorCode(error: unknown): string {
  for (let current = error; current instanceof Error; current = current.cause) {
    if ("code" in current && typeof current.code === "string") return current.code;
  }
  return error instanceof DriverError ? error.kind : "unknown";
}
