import { soonAfter } from "@k3s/async";
import { openStore, type CommitHints, type OpenStore, type Store } from "@k3s/datastore";
import type { Component, StartContext } from "@k3s/lifecycle";
import type { Logger } from "@k3s/log";
import type { MetricsRegistry } from "@k3s/metrics";
import type { DatabasePool } from "./databases.ts";
import { DatastoreMetrics } from "./datastore-metrics.ts";
import type { DatastoreTls } from "./datastore-tls.ts";
import { openDatastore, type DriverEndpoint } from "./open-datastore.ts";
import type { SlowThresholds } from "./slow-statements.ts";

export interface DatastoreOptions {
  readonly endpoint: DriverEndpoint;
  /** Where relative paths of SQLite start. */
  readonly folder: string;
  readonly tls: DatastoreTls;
  readonly metrics: MetricsRegistry;
  readonly slow?: SlowThresholds;
  readonly pool?: DatabasePool;
  /** Whether kine's health key is created where it is missing. Default false. */
  readonly healthKey?: boolean;
  /** Environment variables for what the endpoint leaves open. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly log: Logger;
}

/** Once there is no more time, how long the database may take to be closed; an open one is brought in order at the next start. */
const HURRIED_CLOSE_MS = 3000;

/** The store on its database; usable between start and stop. */
export class Datastore implements Component {
  readonly name = "datastore";
  readonly #options: DatastoreOptions;
  readonly #metrics: DatastoreMetrics;
  #store: OpenStore | undefined;
  #hints: CommitHints | undefined;

  constructor(options: DatastoreOptions) {
    this.#options = options;
    this.#metrics = new DatastoreMetrics(options.metrics);
    this.#metrics.observeStore(() => this.store);
  }

  async start({ signal }: Pick<StartContext, "signal">): Promise<void> {
    const { metrics: _registry, ...options } = this.#options;
    const driver = await openDatastore({ ...options, signal, metrics: this.#metrics });
    if (signal.aborted) await driver.close();
    signal.throwIfAborted();
    const { log, healthKey = false } = options;
    this.#store = await openStore(driver, { log, healthKey });
    this.#hints = driver.shared?.hints;
    signal.throwIfAborted(); // stop() closes it
  }

  /** Takes no more writes, then brings everything into the database. */
  async stop(hurry: AbortSignal): Promise<void> {
    const store = this.#store;
    this.#store = undefined;
    if (store === undefined) return;
    const late = () => new Error("Cannot close the datastore: the database did not answer in time");
    await soonAfter(store.close(), { signal: hurry, ms: HURRIED_CLOSE_MS, late });
  }

  /**
   * Rejects when the SQLite file does not answer; does not resolve while the disk keeps it waiting. A database of others may be
   * away: reads go on, and a restart would not bring it back.
   */
  async checkHealth(): Promise<void> {
    const { store } = this;
    if (this.#options.endpoint.kind === "sqlite") await store.status();
  }

  get store(): Store {
    if (this.#store === undefined) throw new Error("Cannot use the datastore: it is not open");
    return this.#store;
  }

  /** How servers tell each other of commits; undefined before the start, and where the database does that by itself or has one server only. */
  get hints(): CommitHints | undefined {
    return this.#hints;
  }
}
