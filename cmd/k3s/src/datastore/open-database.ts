import { deadline } from "@k3s/async";
import type { Driver } from "@k3s/datastore";
import { openDatastore } from "@k3s/datastore-endpoint";
import { DatastoreToolError } from "../errors.ts";
import type { ToolParts } from "./datastore-status.ts";
import type { Target } from "./tool-target.ts";

/** A server waits for its database; somebody who asks wants to know. */
const OPEN_WITHIN_MS = 10_000;

export interface DatabaseAccess extends ToolParts {
  readonly database: NonNullable<Target["database"]>;
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
