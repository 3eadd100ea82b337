import { join, resolve } from "node:path";
import type { DatabaseReader, Driver } from "@k3s/datastore";
import type { Logger } from "@k3s/log";
import { databases, type DatabaseOptions, type DatabasePool } from "./databases.ts";
import type { DatastoreMetrics } from "./datastore-metrics.ts";
import type { DatastoreTls } from "./datastore-tls.ts";
import { parseEndpoint, type DatabaseKind, type Endpoint } from "./endpoint.ts";
import { measured } from "./measured-driver.ts";
import type { SqliteDsn } from "./sqlite-dsn.ts";
import { slowThresholds, SlowStatements, type SlowThresholds } from "./slow-statements.ts";

/** An endpoint that is opened with a driver. To an etcd one talks as its client. */
export type DriverEndpoint = Exclude<Endpoint, { readonly kind: "etcd" }>;

export interface OpenDatastoreOptions {
  readonly endpoint: DriverEndpoint;
  /** Where relative paths of SQLite start, and `db/state.db` unless another file is named. */
  readonly folder: string;
  readonly tls: DatastoreTls;
  readonly log: Logger;
  /** Ends the waiting for a database that is not there yet. */
  readonly signal: AbortSignal;
  /** With it every statement is measured. */
  readonly metrics?: DatastoreMetrics;
  readonly slow?: SlowThresholds;
  readonly pool?: DatabasePool;
  /** Environment variables for what the endpoint leaves open, as PostgreSQL's clients have it. Default: none. */
  readonly env?: DatabaseOptions["env"];
}

/** Opens the driver that belongs to the endpoint. Rejects with NodeError when the database cannot be used as it is. */
export async function openDatastore(options: OpenDatastoreOptions): Promise<Driver> {
  const { endpoint, log, metrics, slow = slowThresholds } = options;
  options.signal.throwIfAborted();
  const driver = endpoint.kind === "sqlite" ? await openSqlite(endpoint.dsn, options) : await open(endpoint, options);
  if (metrics === undefined) return driver;
  metrics.observeConnections(driver);
  return measured(driver, { metrics, slow: new SlowStatements({ log, kind: endpoint.kind, thresholds: slow }) });
}

/** An endpoint of a database that others use as well. */
export type SharedEndpoint = Extract<Endpoint, { readonly kind: DatabaseKind }>;

/**
 * Opens a database server's data for reading alone: nothing is made, changed or mended. Rejects with NodeError when there is no such
 * database, or it cannot be read.
 */
export async function inspectDatastore({
  endpoint,
  tls,
  env = {},
  log,
  signal,
}: Pick<OpenDatastoreOptions, "tls" | "env" | "log" | "signal"> & {
  readonly endpoint: SharedEndpoint;
}): Promise<DatabaseReader> {
  signal.throwIfAborted();
  const { address, scheme } = endpoint;
  const database = await databases[endpoint.kind]();
  return database.inspect({ address, scheme, tls, env, log, signal });
}

/** The file of a SQLite endpoint. */
export function sqliteFile(dsn: Pick<SqliteDsn, "path">, folder: string): string {
  return dsn.path === undefined ? join(folder, "db", "state.db") : resolve(folder, dsn.path);
}

/**
 * Reads an endpoint and everything its driver can find wrong with it without connecting.
 * Rejects with NodeError; what it says of the endpoint holds no password.
 */
export async function checkEndpoint(
  text: string,
  tls: DatastoreTls,
  env: DatabaseOptions["env"] = {},
): Promise<Endpoint> {
  const endpoint = parseEndpoint(text);
  if (endpoint.kind !== "sqlite" && endpoint.kind !== "etcd") {
    const { address, scheme } = endpoint;
    (await databases[endpoint.kind]()).check({ address, scheme, tls, env });
  }
  return endpoint;
}

async function openSqlite(dsn: SqliteDsn, { folder, log }: OpenDatastoreOptions): Promise<Driver> {
  for (const warning of dsn.warnings) log.warn({ warning }, "check the datastore endpoint");
  const { openSqliteDriver } = await import("@k3s/datastore-sqlite");
  return openSqliteDriver({ path: sqliteFile(dsn, folder), log, settings: dsn.settings });
}

async function open(
  endpoint: SharedEndpoint,
  { tls, env = {}, pool, log, signal }: OpenDatastoreOptions,
): Promise<Driver> {
  const { address, scheme } = endpoint;
  const database = await databases[endpoint.kind]();
  return database.open({ address, scheme, tls, env, pool, log, signal });
}
