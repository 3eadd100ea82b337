import type { Connection } from "./connection.ts";

/**
 * Begins a transaction for reading. Until {@link releaseMoment} a checkpoint that wants the whole log written back waits for us, and writers
 * wait for it: that of a kine does so for up to 30 s. A file without a log is left alone: whoever writes to it would have to wait.
 */
export function holdMoment(database: Connection): void {
  if (database.pragma("journal_mode", { simple: true }) !== "wal") return;
  database.exec("BEGIN");
  database.prepare("SELECT 1 FROM sqlite_schema").get(); // the moment is that of the first read
}

/** Ends what {@link holdMoment} began, if it did. */
export function releaseMoment(database: Connection): void {
  if (database.inTransaction) database.exec("COMMIT");
}
