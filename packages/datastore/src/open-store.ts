import { totalmem } from "node:os";
import { NodeError } from "@k3s/errors";
import type { Logger } from "@k3s/log";
import { DriverError, emptyBatch, type Driver, type NewRow } from "./driver.ts";
import { DatastoreError } from "./errors.ts";
import { HEALTH_KEY, MARKER_NAME } from "./names.ts";
import { StoreError } from "./store-errors.ts";
import { MvccStore } from "./store.ts";
import type { Store } from "./types.ts";

const MIB = 1024 * 1024;

/**
 * Limit of the values kept in memory unless told otherwise, by the memory of the machine: 1/32 of it, at least 24 MiB and at most 128 MiB.
 * The values of a whole small cluster fit into it. Memory is taken only for values that are there, and of a small machine only little.
 */
export function defaultValueCacheBytes(machineBytes: number): number {
  return Math.min(Math.max(Math.floor(machineBytes / 32), 24 * MIB), 128 * MIB);
}

/** Of which a control group may leave this process only a part. */
function machineBytes(): number {
  const limit = process.constrainedMemory();
  return limit > 0 ? Math.min(limit, totalmem()) : totalmem();
}

/** What a store needs besides its driver. */
export interface StoreOptions {
  readonly log: Logger;
  /** Limit of the values kept in memory; others are read from the database when asked for. Default {@link defaultValueCacheBytes}. */
  readonly valueCacheBytes?: number;
  /** Whether kine's health key is created where it is missing, as kine does at each start: on a new table at revision 2. Default false. */
  readonly healthKey?: boolean;
}

/** A store with its end. */
export interface OpenStore extends Store {
  /** Finishes accepted writes, ends all watches with "stopped", closes the driver. Any number of times. */
  close(): Promise<void>;
}

/**
 * Loads everything the database holds. A new table gets kine's marker and, unless `healthKey` says so, nothing else: its first
 * revision is 1, as in etcd. Takes the driver over, also when it rejects.
 */
export async function openStore(driver: Driver, options: StoreOptions): Promise<OpenStore> {
  const { log, valueCacheBytes = defaultValueCacheBytes(machineBytes()), healthKey = false } = options;
  const store = new MvccStore(driver, { log, valueCacheBytes });
  try {
    const loaded = await store.load();
    if (!loaded.hasMarker) {
      const rows = [markerRow(store.currentRevision + 1)];
      await driver.commit({ ...emptyBatch, after: store.currentRevision, rows }).catch(ignoreConflict);
      await store.load();
    }
    await store.begin(loaded);
    if (healthKey) await addHealthKey(store, log);
    return store;
  } catch (error) {
    await store.close();
    throw error instanceof DriverError ? toLoadError(error) : error;
  }
}

/** What the driver itself has advice for is not told in more general words. */
function toLoadError(error: DriverError): NodeError {
  return error.cause instanceof NodeError ? error.cause : DatastoreError.notLoadable(error);
}

/** Another server on the same database was faster: its rows are the first ones. */
function ignoreConflict(error: unknown): void {
  if (!(error instanceof DriverError && error.kind === "conflict")) throw error;
}

/** An ordinary write, made only where the key is missing. The store is of use without it too. */
async function addHealthKey(store: Store, log: Logger): Promise<void> {
  const range = { key: Buffer.from(HEALTH_KEY), rangeEnd: Buffer.alloc(0) };
  const flags = { lease: 0n, prevKv: false, ignoreValue: false, ignoreLease: false };
  try {
    await store.txn({
      compare: [{ ...range, result: "equal", target: { field: "mod", value: 0 } }],
      success: [{ kind: "put", key: range.key, value: Buffer.from('{"health":"true"}'), ...flags }],
      failure: [],
    });
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    log.warn({ error, key: HEALTH_KEY }, "cannot add the health key, going on without it");
  }
}

function markerRow(id: number): NewRow {
  return {
    id,
    name: MARKER_NAME,
    created: true,
    deleted: false,
    createRevision: 0,
    prevRevision: 0,
    ttlSeconds: 0,
    lease: 0n,
    value: Buffer.alloc(0),
  };
}
