import { open, stat } from "node:fs/promises";
import { dirname } from "node:path";
import type { Driver } from "@k3s/datastore";
import { type Lock, LockHeldError, acquireLock, isAbsent, makeDirectory } from "@k3s/files";
import type { Logger } from "@k3s/log";
import { SqliteError, toOpenError } from "./errors.ts";
import { FileSnapshots } from "./file-snapshots.ts";
import { SqliteDriver } from "./sqlite-driver.ts";
import type { SqliteSettings } from "./sqlite-settings.ts";
import { WorkerChannel } from "./worker-channel.ts";

/** After an unclean stop, files up to this size are checked before they are used: about a second. */
const QUICK_CHECK_BYTES = 64 * 1024 * 1024;
/** Kine's own busy time-out. */
const BUSY_TIMEOUT_MS = 30_000;
/** A write-back that has to wait for others may as well come later. */
const CHECKPOINT_TIMEOUT_MS = 100;

interface SqliteDriverOptions {
  /** The database file, usually `…/db/state.db`. It and its folder are made when missing, for the owner only. */
  readonly path: string;
  readonly log: Logger;
  readonly settings?: SqliteSettings;
}

/** Opens or makes a file that kine can use as well. Rejects with SqliteError when it cannot be used as it is. */
export async function openSqliteDriver(options: SqliteDriverOptions): Promise<Driver> {
  const { path } = options;
  let lock: Lock | undefined;
  try {
    await makeDirectory(dirname(path), 0o700);
    lock = await acquireLock(`${path}.lock`);
    return await openLocked(options, lock);
  } catch (error) {
    await lock?.release();
    throw error instanceof LockHeldError ? SqliteError.locked(path, error.owner) : toOpenError(path, error);
  }
}

async function openLocked({ path, log, settings = {} }: SqliteDriverOptions, lock: Lock): Promise<Driver> {
  await createPrivate(path);
  const { synchronous = "FULL", autoVacuum = "INCREMENTAL", secureDelete, checkpoints = "own" } = settings;
  const common = { path, isReadOnly: false, synchronous, autoVacuum, secureDelete };
  const writer = new WorkerChannel({
    ...common,
    cachePages: settings.cachePages ?? -4096,
    busyTimeoutMs: settings.busyTimeoutMs ?? BUSY_TIMEOUT_MS,
  });
  const reader = new WorkerChannel({
    ...common,
    cachePages: settings.cachePages ?? -2048,
    busyTimeoutMs: CHECKPOINT_TIMEOUT_MS,
  });
  try {
    const quickCheck = (await sizeOf(`${path}-wal`)) > 0 && (await sizeOf(path)) <= QUICK_CHECK_BYTES;
    if (quickCheck) log.info({ file: path }, "the datastore was not closed, checking it");
    await writer.call("prepare", { quickCheck });
    const snapshots = new FileSnapshots({ ...common, cachePages: -2048, busyTimeoutMs: BUSY_TIMEOUT_MS });
    return new SqliteDriver({ writer, reader, snapshots, log, checkpoints, release: () => lock.release() });
  } catch (error) {
    await writer.close();
    throw error;
  }
}

/** SQLite gives its side files the mode of the database. */
async function createPrivate(path: string): Promise<void> {
  const file = await open(path, "a", 0o600);
  await file.close();
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (isAbsent(error)) return 0;
    throw error;
  }
}
