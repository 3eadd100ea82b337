import { stat } from "node:fs/promises";
import { describeError } from "@k3s/errors";
import { SqliteError, toOpenError } from "./errors.ts";
import { SqliteReader } from "./sqlite-reader.ts";
import { WorkerChannel } from "./worker-channel.ts";

/** Readers of a write-ahead log wait for nobody but a writer that recovers it. */
const BUSY_TIMEOUT_MS = 5000;

/**
 * Opens a file for reading alone, also while a server or kine uses it: no lock is taken that they would feel, nothing is written, and
 * the write-ahead log is not touched. Rejects with SqliteError when it cannot be read.
 */
export async function openSqliteReader(path: string): Promise<SqliteReader> {
  await stat(path).catch((error: unknown) => {
    throw SqliteError.absent(path, error);
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
    throw /no such table/.test(describeError(error)) ? SqliteError.noTable(path, error) : toOpenError(path, error);
  }
}
