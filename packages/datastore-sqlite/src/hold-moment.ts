import type { Connection } from "./connection.ts";

/**
 * Begins a transaction for reading that lasts until the connection is closed. Meanwhile a write-ahead log can only grow. A file
 * without one is left alone: whoever writes to it would have to wait for us.
 */
export function holdMoment(database: Connection): void {
  if (database.pragma("journal_mode", { simple: true }) !== "wal") return;
  database.exec("BEGIN");
  database.prepare("SELECT 1 FROM sqlite_schema").get(); // the moment is that of the first read
}
