import { deadline } from "@k3s/async";
import type { Driver } from "@k3s/datastore";
import { openDatastore } from "@k3s/datastore-endpoint";
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
export async function openDatabase({ database, log, signal }: DatabaseAccess): Promise<Driver> {
  using limit = deadline(OPEN_WITHIN_MS, "Opening the database", signal);
  try {
    return await openDatastore({ ...database, log, signal: limit });
  } catch (error) {
    if (signal.aborted || !limit.aborted) throw error;
    throw DatastoreToolError.unreachable(OPEN_WITHIN_MS / 1000, error);
  }
}
