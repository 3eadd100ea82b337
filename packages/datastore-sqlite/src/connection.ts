import { loadAddon } from "@k3s/native";
import Database from "better-sqlite3";
import type { WorkerData, WorkerSettings } from "./worker-protocol.ts";

/** A log file that had to grow beyond this is cut when SQLite uses it anew. */
const LOG_BYTES = 16 * 1024 * 1024;

export type Connection = Database.Database;

/** Opens the file, which must exist. Checkpoints never run by themselves. */
export function connect(settings: WorkerData): Connection {
  const { addon } = settings;
  const database = new Database(settings.path, {
    fileMustExist: true,
    readonly: settings.isReadOnly,
    timeout: settings.busyTimeoutMs,
    // sound: the library takes the loaded add-on as well as its path; its types know the path only
    ...(addon === undefined ? {} : { nativeBinding: loadAddon(addon) as string }),
  });
  if (!settings.isReadOnly) configureWriting(database, settings);
  database.pragma(`cache_size = ${settings.cachePages}`);
  return database;
}

function configureWriting(database: Connection, settings: WorkerSettings): void {
  database.pragma(`auto_vacuum = ${settings.autoVacuum}`); // has an effect in new files only, and there only before WAL
  database.pragma("journal_mode = WAL");
  database.pragma(`synchronous = ${settings.synchronous}`);
  database.pragma("wal_autocheckpoint = 0");
  database.pragma(`journal_size_limit = ${LOG_BYTES}`);
  if (settings.secureDelete !== undefined) database.pragma(`secure_delete = ${settings.secureDelete}`);
}
