import { access, constants, stat } from "node:fs/promises";
import { describeError } from "@k3s/errors";
import { SqliteError, toOpenError } from "./errors.ts";
import { SqliteReader } from "./sqlite-reader.ts";
import { WorkerChannel } from "./worker-channel.ts";

/** Readers of a write-ahead log wait for nobody but a writer that recovers it. */
const BUSY_TIMEOUT_MS = 5000;

/**
 * Opens a file for reading alone, also while a server or kine uses it: nothing is written, and the write-ahead log is not touched. Rejects with
 * SqliteError when it cannot be read.
 */
export async function openSqliteReader(path: string): Promise<SqliteReader> {
  const found = await stat(path).catch((error: unknown) => {
    throw isRefusal(error) ? SqliteError.notReadable(path, error) : SqliteError.absent(path, error);
  });
  if (found.isDirectory()) throw SqliteError.isFolder(path);
  await access(path, constants.R_OK).catch((error: unknown) => {
    throw SqliteError.notReadable(path, error);
  });
  const worker = new WorkerChannel({
    path,
    isReadOnly: true,
    cachePages: -8192,
    busyTimeoutMs: BUSY_TIMEOUT_MS,
    synchronous: "FULL",
    autoVacuum: "NONE",
    secureDelete: undefined,
  });
  const reader = new SqliteReader(worker, path);
  try {
    if (await worker.call("uncopied", undefined)) throw SqliteError.notCopied(path);
    await reader.heads(0, 1);
    return reader;
  } catch (error) {
    await reader.close();
    throw toReaderError(path, error);
  }
}

/** A missing column is one of a table of the same name that belongs to another program. */
function toReaderError(path: string, error: unknown): unknown {
  const told = describeError(error);
  if (told.includes("no such table")) return SqliteError.noTable(path, error);
  if (told.includes("no such column")) return SqliteError.otherSchema(path, error);
  const known = toOpenError(path, error);
  return known instanceof SqliteError && known.code === "ERR_SQLITE_NOT_WRITABLE"
    ? SqliteError.noIndex(path, known.cause)
    : known;
}

/** Of the folders on the way. */
function isRefusal(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "EACCES" || error.code === "EPERM");
}
