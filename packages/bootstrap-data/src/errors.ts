import { NodeError, type ErrorCode } from "@k3s/errors";

interface Fault {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string;
  readonly cause?: unknown;
}

/** The bootstrap record of the datastore cannot be used, with the way out. */
export class BootstrapError extends NodeError {
  override readonly name = "BootstrapError";

  private static of({ code, message, hint, cause }: Fault): BootstrapError {
    return new BootstrapError(code, message, cause === undefined ? { hint } : { hint, cause });
  }

  static otherToken(cause?: unknown): BootstrapError {
    return BootstrapError.of({
      code: "ERR_BOOTSTRAP_TOKEN_MISMATCH",
      message: "Cannot use datastore: bootstrap data already found and encrypted with different token",
      hint: "Start with the token this cluster was made with: the content of server/token of one of its servers",
      cause,
    });
  }

  static malformed(reason: string): BootstrapError {
    return BootstrapError.of({
      code: "ERR_BOOTSTRAP_MALFORMED",
      message: `Cannot read bootstrap data: ${reason}`,
      hint: "The record below /bootstrap in the datastore is damaged: restore the datastore from a backup",
    });
  }

  static undecryptable(cause: unknown): BootstrapError {
    return BootstrapError.of({
      code: "ERR_BOOTSTRAP_UNDECRYPTABLE",
      message: "Cannot decrypt bootstrap data: cipher: message authentication failed",
      hint: "The token is not the one the record was written with, or the record is damaged: check --token, else restore a backup",
      cause,
    });
  }

  static newerOnDisk(paths: readonly string[]): BootstrapError {
    return BootstrapError.of({
      code: "ERR_BOOTSTRAP_NEWER_ON_DISK",
      message: `Cannot reconcile with datastore: ${paths.join(", ")} newer than datastore and could cause a cluster outage`,
      hint: "Remove the file(s) from disk and restart to be recreated from datastore",
    });
  }

  static multipleRecords(): BootstrapError {
    return BootstrapError.of({
      code: "ERR_BOOTSTRAP_MULTIPLE",
      message: "Cannot replace bootstrap data: found multiple bootstrap keys in storage",
      hint: "Delete the records below /bootstrap that belong to no token in use, then start again",
    });
  }

  static unreachable(cause: unknown): BootstrapError {
    return BootstrapError.of({
      code: "ERR_BOOTSTRAP_UNREACHABLE",
      message: "Cannot read bootstrap data: the datastore does not answer",
      hint: "Check that the datastore runs, that --datastore-endpoint is right and its credentials are valid",
      cause,
    });
  }

  static raced(): BootstrapError {
    return BootstrapError.of({
      code: "ERR_BOOTSTRAP_RACED",
      message: "Cannot save bootstrap data: another server changed it at the same time",
      hint: "Start this server again once the other one is up",
    });
  }

  static fileUnusable(path: string, cause: unknown): BootstrapError {
    return BootstrapError.of({
      code: "ERR_BOOTSTRAP_FILE_UNUSABLE",
      message: `Cannot use "${path}": ${cause instanceof Error ? cause.message : String(cause)}`,
      hint: "Check that it is a regular file root can read, and that the disk is writable and not full",
      cause,
    });
  }
}
