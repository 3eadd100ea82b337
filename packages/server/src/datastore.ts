import { soonAfter } from "@k3s/async";
import { openStore, type OpenStore, type Store } from "@k3s/datastore";
import { openSqliteDriver } from "@k3s/datastore-sqlite";
import type { Component, StartContext } from "@k3s/lifecycle";
import type { Logger } from "@k3s/log";

export interface DatastoreOptions {
  readonly file: string;
  readonly log: Logger;
}

/** Once there is no more time, how long the database may take to be closed; an open one is brought in order at the next start. */
const HURRIED_CLOSE_MS = 3000;

/** The store on its SQLite file; usable between start and stop. */
export class Datastore implements Component {
  readonly name = "datastore";
  readonly #options: DatastoreOptions;
  #store: OpenStore | undefined;

  constructor(options: DatastoreOptions) {
    this.#options = options;
  }

  async start({ signal }: Pick<StartContext, "signal">): Promise<void> {
    const { file, log } = this.#options;
    signal.throwIfAborted();
    const driver = await openSqliteDriver({ path: file, log });
    if (signal.aborted) await driver.close();
    signal.throwIfAborted();
    this.#store = await openStore(driver, { log });
    signal.throwIfAborted(); // stop() closes it
  }

  /** Takes no more writes, then brings everything into the database file. */
  async stop(hurry: AbortSignal): Promise<void> {
    const store = this.#store;
    this.#store = undefined;
    if (store === undefined) return;
    const late = () => new Error("Cannot close the datastore: the disk did not answer in time");
    await soonAfter(store.close(), { signal: hurry, ms: HURRIED_CLOSE_MS, late });
  }

  /** Rejects when the database does not answer; does not resolve while the disk keeps it waiting. */
  async checkHealth(): Promise<void> {
    await this.store.status();
  }

  get store(): Store {
    if (this.#store === undefined) throw new Error("Cannot use the datastore: it is not open");
    return this.#store;
  }
}
