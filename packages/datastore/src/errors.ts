import { NodeError } from "@k3s/errors";

/** The datastore cannot be opened as it is. */
export class DatastoreError extends NodeError {
  override readonly name = "DatastoreError";

  static notLoadable(cause: unknown): DatastoreError {
    return new DatastoreError(
      "ERR_DATASTORE_NOT_LOADABLE",
      "Cannot load datastore: the database failed while reading it",
      {
        hint: "The cause names the failure of the database; mend it, or restore the datastore from a backup",
        cause,
      },
    );
  }
}
