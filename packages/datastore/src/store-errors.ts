/** What the store refuses, by the names of etcd's rpctypes. The etcd API maps each to a gRPC code and etcd's exact text. */
export type StoreErrorReason =
  | "compacted"
  | "futureRevision"
  | "emptyKey"
  | "keyRefused"
  | "keyNotFound"
  | "valueProvided"
  | "leaseProvided"
  | "tooManyOps"
  | "duplicateKey"
  | "invalidSortOption"
  | "requestTooLarge"
  | "leaseNotFound"
  | "leaseExists"
  | "leaseTtlTooLarge"
  | "noSpace"
  /** The database can never hold it; the message says why, and what helps. */
  | "refused"
  | "unavailable";

/** A request the store did not carry out; nothing of it was written, except that "unavailable" may leave that open. */
export class StoreError extends Error {
  override readonly name = "StoreError";
  readonly reason: StoreErrorReason;

  constructor(reason: StoreErrorReason, message: string, options: ErrorOptions = {}) {
    super(message, options);
    this.reason = reason;
  }
}
