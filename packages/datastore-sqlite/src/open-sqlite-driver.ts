import { open } from "node:fs/promises";
import { dirname } from "node:path";
import { deadline, retry } from "@k3s/async";
import type { Driver } from "@k3s/datastore";
import { type Lock, LockHeldError, acquireLock, makeDirectory } from "@k3s/files";
import type { Logger } from "@k3s/log";
import { markClosed, takeClosedMark } from "./closed-mark.ts";
import { SqliteError, toOpenError } from "./errors.ts";
import { lockPath } from "./find-sqlite-user.ts";
import { FileSnapshots } from "./file-snapshots.ts";
import { dropRest, inspectLeftovers, keepFromDamage } from "./inspect-leftovers.ts";
import { LateCheck } from "./late-check.ts";
import { NearReader } from "./near-reader.ts";
import { OtherUsers } from "./other-users.ts";
import { prepareFile } from "./prepare-file.ts";
import { SpaceReserve } from "./space-reserve.ts";
import { SqliteDriver } from "./sqlite-driver.ts";
import type { SqliteSettings } from "./sqlite-settings.ts";
import { WorkerChannel } from "./worker-channel.ts";
import type { WorkerSettings } from "./worker-protocol.ts";

/** Kine's own busy time-out. */
const BUSY_TIMEOUT_MS = 30_000;
/** A write-back that has to wait for others may as well come later. */
const CHECKPOINT_TIMEOUT_MS = 100;
/** Who only looks for the user of a file (findSqliteUser) holds its lock for microseconds, or for some time slices of a busy processor. */
const LOOK_MS = 200;

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
    lock = await takeLock(path);
    return await openLocked(options, lock);
  } catch (error) {
    await lock?.release();
    throw error instanceof LockHeldError ? SqliteError.locked(path, error.owner) : toOpenError(path, error);
  }
}

/** Rejects with LockHeldError when it is held by more than a look at it. */
async function takeLock(path: string): Promise<Lock> {
  using limit = deadline(LOOK_MS, "Waiting for a look at the lock");
  const isRetryable = (error: unknown) => error instanceof LockHeldError;
  const policy = { delayMinMs: 5, delayMaxMs: 50, isRetryable };
  return await retry(() => acquireLock(lockPath(path)), policy, limit);
}

async function openLocked({ path, log, settings = {} }: SqliteDriverOptions, lock: Lock): Promise<Driver> {
  const { synchronous = "FULL", autoVacuum = "INCREMENTAL", secureDelete, checkpoints = "own" } = settings;
  const common = { path, isReadOnly: false, synchronous, autoVacuum, secureDelete };
  const writing = {
    ...common,
    cachePages: settings.cachePages ?? -4096,
    busyTimeoutMs: settings.busyTimeoutMs ?? BUSY_TIMEOUT_MS,
  };
  const wasClosed = await takeClosedMark(path);
  const check = () => quickCheck({ ...writing, isReadOnly: true });
  const { isChecked, hasRest } = await inspectLeftovers({ path, log, synchronous, wasClosed, quickCheck: check });
  await createPrivate(path);
  const others = new OtherUsers(path);
  const writer = new WorkerChannel(writing);
  const reader = new WorkerChannel({
    ...common,
    cachePages: settings.cachePages ?? -2048,
    busyTimeoutMs: CHECKPOINT_TIMEOUT_MS,
  });
  try {
    const reserve = await SpaceReserve.open(`${path}.reserve`, log);
    if (hasRest) await dropRest(path, log, () => reader.call("checkpoint", { truncate: true }));
    await prepareFile(writer, { path, log, checkpoints, reserve, others });
    void reserve.build(); // the first put waits for it at most
    const snapshots = new FileSnapshots({ ...common, cachePages: -2048, busyTimeoutMs: BUSY_TIMEOUT_MS });
    const keeper = checkpoints === "own" ? undefined : new WorkerChannel({ ...writing, isReadOnly: true });
    const release = async () => {
      others[Symbol.dispose]();
      if (keeper !== undefined) await tryToMark(path, log);
      await lock.release();
    };
    const lateCheck = isChecked ? undefined : new LateCheck({ path, log, quickCheck: check });
    const near = new NearReader({ ...common, cachePages: -1024, busyTimeoutMs: 0 });
    const workers = { writer, reader, near, keeper, others };
    return new SqliteDriver({ path, ...workers, snapshots, lateCheck, log, checkpoints, reserve, release });
  } catch (error) {
    const told = await keepFromDamage(path, error);
    await Promise.all([writer.close(), reader.close()]);
    others[Symbol.dispose]();
    throw told;
  }
}

/** Without the mark the next start takes the log for that of a server that was killed, and looks at the file. */
async function tryToMark(path: string, log: Logger): Promise<void> {
  try {
    await markClosed(path);
  } catch (error) {
    log.debug({ error, file: path }, "cannot tell the next start that the datastore was closed");
  }
}

async function quickCheck(settings: WorkerSettings): Promise<readonly string[]> {
  const worker = new WorkerChannel(settings);
  try {
    return await worker.call("quickCheck", undefined);
  } finally {
    await worker.close();
  }
}

/** SQLite gives its side files the mode of the database. */
async function createPrivate(path: string): Promise<void> {
  const file = await open(path, "a", 0o600);
  await file.close();
}
