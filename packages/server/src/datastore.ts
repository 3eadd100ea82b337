import { openStore, type OpenStore, type Store } from "@k3s/datastore";
import { openSqliteDriver } from "@k3s/datastore-sqlite";
import type { Component } from "@k3s/lifecycle";
import type { Logger } from "@k3s/log";

export interface DatastoreOptions {
  readonly file: string;
  readonly log: Logger;
}

/** The store on its SQLite file; usable between start and stop. */
export class Datastore implements Component {
  readonly name = "datastore";
  readonly #options: DatastoreOptions;
  #store: OpenStore | undefined;

  constructor(options: DatastoreOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    const { file, log } = this.#options;
    this.#store = await openStore(await openSqliteDriver({ path: file, log }), { log });
  }

  /** Takes no more writes, then brings everything into the database file. */
  async stop(): Promise<void> {
    const store = this.#store;
    this.#store = undefined;
    await store?.close();
  }

  get store(): Store {
    if (this.#store === undefined) throw new Error("Cannot use the datastore: it is not open");
    return this.#store;
  }
}
