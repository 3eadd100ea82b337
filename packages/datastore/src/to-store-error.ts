import { describeError } from "@k3s/errors";
import { DriverError } from "./driver.ts";
import { StoreError } from "./store-errors.ts";

/** What a client is told about a failure of the database. Throws what is none. */
export function toStoreError(error: unknown): StoreError {
  const answer = answerOf(error);
  if (answer instanceof StoreError) return answer;
  throw error;
}

/** The same; what is no failure of the database comes back as it is. */
export function answerOf(error: unknown): unknown {
  if (isNoSpace(error))
    return new StoreError("noSpace", "Cannot write to datastore: the disk is full", { cause: error });
  if (isRefused(error)) return new StoreError("refused", describeError(error), { cause: error });
  if (error instanceof DriverError)
    return new StoreError("unavailable", "Cannot use datastore: the database failed", { cause: error });
  return error;
}

/** Whether the database had no room for what was to be written. */
export function isNoSpace(error: unknown): boolean {
  return error instanceof DriverError && error.kind === "noSpace";
}

/** Whether the database can never hold what was to be written. */
export function isRefused(error: unknown): boolean {
  return error instanceof DriverError && error.kind === "refused";
}

/** The store cannot do it now; `state` is the end of a sentence. */
export function unavailable(state: string): StoreError {
  return new StoreError("unavailable", `Cannot use datastore: ${state}`);
}
