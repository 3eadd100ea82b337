import type { Logger } from "@k3s/log";
import { DriverError, emptyBatch, type Driver, type NewRow } from "./driver.ts";
import { DatastoreError } from "./errors.ts";
import { HEALTH_NAME, MARKER_NAME } from "./names.ts";
import { MvccStore } from "./store.ts";
import type { Store } from "./types.ts";

/** Values kept in memory unless told otherwise: all of a small cluster, little of the process. */
const DEFAULT_VALUE_CACHE_BYTES = 24 * 1024 * 1024;

export interface StoreOptions {
  readonly log: Logger;
  /** Limit of the values kept in memory; others are read from the database when asked for. Default 24 MiB. */
  readonly valueCacheBytes?: number;
  /**
   * Whether a new table gets kine's health key, as kine does: its first revision is then 2.
   * Without it the first revision is 1, as in etcd, and kine adds the key when it opens the file. Default true.
   */
  readonly healthKey?: boolean;
}

/** A store with its end. */
export interface OpenStore extends Store {
  /** Finishes accepted writes, ends all watches with "stopped", closes the driver. Any number of times. */
  close(): Promise<void>;
}

/** Loads everything the database holds; a new table is begun as kine begins it. Takes the driver over, also when it rejects. */
export async function openStore(driver: Driver, options: StoreOptions): Promise<OpenStore> {
  const { log, valueCacheBytes = DEFAULT_VALUE_CACHE_BYTES, healthKey = true } = options;
  const store = new MvccStore(driver, { log, valueCacheBytes });
  try {
    const loaded = await store.load();
    if (!loaded.hasMarker) {
      const isNew = store.currentRevision === 0;
      const marker = firstVersion(store.currentRevision + 1, MARKER_NAME, "");
      const health = firstVersion(marker.id + 1, HEALTH_NAME, '{"health":"true"}');
      const rows = isNew && healthKey ? [marker, health] : [marker];
      await driver.commit({ ...emptyBatch, after: store.currentRevision, rows }).catch(ignoreConflict);
      await store.load();
    }
    await store.begin(loaded);
    return store;
  } catch (error) {
    await store.close();
    throw error instanceof DriverError ? DatastoreError.notLoadable(error) : error;
  }
}

/** Another server on the same database was faster: its rows are the first ones. */
function ignoreConflict(error: unknown): void {
  if (!(error instanceof DriverError && error.kind === "conflict")) throw error;
}

function firstVersion(id: number, name: string, value: string): NewRow {
  return {
    id,
    name,
    created: true,
    deleted: false,
    createRevision: 0,
    prevRevision: 0,
    ttlSeconds: 0,
    lease: 0n,
    value: Buffer.from(value),
  };
}
