import { deadline } from "@k3s/async";
import type { DatabaseReader, Driver } from "@k3s/datastore";
import { inspectDatastore, openDatastore, type SharedEndpoint } from "@k3s/datastore-endpoint";
import type { Logger } from "@k3s/log";
import { DatastoreToolError } from "../errors.ts";
import type { Target } from "./tool-target.ts";

/** A server waits for its database; somebody who asks wants to know. */
const OPEN_WITHIN_MS = 10_000;

export interface DatabaseAccess {
  readonly database: NonNullable<Target["database"]>;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** Opens the database as a server would. Rejects with NodeError, also when it does not answer within ten seconds. */
export function openDatabase({ database, log, signal }: DatabaseAccess): Promise<Driver> {
  return soon(signal, (limit) => openDatastore({ ...database, log, signal: limit }));
}

/** Opens a database server's data for reading alone; nothing is made or changed there. Rejects as {@link openDatabase}. */
export function inspectDatabase(
  endpoint: SharedEndpoint,
  { database: { tls, env }, log, signal }: DatabaseAccess,
): Promise<DatabaseReader> {
  return soon(signal, (limit) => inspectDatastore({ endpoint, tls, env, log, signal: limit }));
}

async function soon<T>(signal: AbortSignal, open: (limit: AbortSignal) => Promise<T>): Promise<T> {
  using limit = deadline(OPEN_WITHIN_MS, "Opening the database", signal);
  try {
    return await open(limit);
  } catch (error) {
    if (signal.aborted || !limit.aborted) throw error;
    throw DatastoreToolError.unreachable(OPEN_WITHIN_MS / 1000, error);
  }
}
