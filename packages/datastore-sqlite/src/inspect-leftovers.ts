import { open, stat, type FileHandle } from "node:fs/promises";
import { isAbsent } from "@k3s/files";
import type { Logger } from "@k3s/log";
import { checkWal } from "./check-wal.ts";
import { isDamage, SqliteError } from "./errors.ts";
import { keepDamaged } from "./keep-damaged.ts";
import type { SqliteSettings } from "./sqlite-settings.ts";
import type { CheckpointResult } from "./worker-protocol.ts";

/** After an unclean stop, files up to this size are checked before they are used, about a second; larger ones while they are. */
const QUICK_CHECK_BYTES = 64 * 1024 * 1024;

interface Leftovers {
  readonly path: string;
  readonly log: Logger;
  readonly synchronous: NonNullable<SqliteSettings["synchronous"]>;
  /** The log is there because it was left on purpose. */
  readonly wasClosed: boolean;
  /** SQLite's quick check over a connection that only reads: closing it leaves the log alone. */
  readonly quickCheck: () => Promise<readonly string[]>;
}

export interface Inspected {
  /** False: the file may be used, but nobody has looked whether it is whole. */
  readonly isChecked: boolean;
  /** Whether the end of a transaction that is not whole stands in the log: it is to go before anything is written over its beginning. */
  readonly hasRest: boolean;
}

const LEFT_OUT = "the end of the datastore's log is not whole and was left out";
const SOUND: Inspected = { isChecked: true, hasRest: false };

/**
 * Looks at what a server that was not closed has left, before there is a connection that writes: from then on SQLite forgets what it could
 * not use of the log. Rejects with SqliteError on damage, with a copy kept and the files as they were.
 */
export async function inspectLeftovers(leftovers: Leftovers): Promise<Inspected> {
  const { path, log, synchronous, wasClosed, quickCheck } = leftovers;
  if ((await sizeOf(`${path}-wal`)) === 0) return SOUND;
  const { state, hasRest, hasCommits } = await checkWal(`${path}-wal`);
  const bytes = await sizeOf(path);
  if (bytes === 0 && (hasCommits || state !== "sound")) throw SqliteError.fileGone(path);
  // Without a sync of each commit a power failure alone leaves logs with holes.
  const isCertain = synchronous === "FULL" || synchronous === "EXTRA";
  if (state === "damaged" && isCertain) throw SqliteError.logDamaged(path, await keepCopy(path, { logOnly: false }));
  if (state !== "sound") await tellLeftOut(path, log);
  if (wasClosed) return { isChecked: true, hasRest };
  // What a process that was killed wrote is shown from now on: no power failure may take it then.
  await syncLog(path);
  const isLarge = bytes > QUICK_CHECK_BYTES;
  const when = isLarge ? "checking it while it is served" : "checking it";
  log.info({ file: path, bytes }, `the datastore was not closed, ${when}`);
  if (!isLarge) await assertSound(path, quickCheck);
  return { isChecked: !isLarge, hasRest };
}

/**
 * Takes the rest of a torn transaction out of the log, by writing back what is before it. Commits that took its place would end in the midst
 * of it: after another power failure the log would look as if it had lost more than its last transaction.
 */
export async function dropRest(
  path: string,
  log: Logger,
  checkpoint: () => Promise<Pick<CheckpointResult, "busy">>,
): Promise<void> {
  try {
    const { busy } = await checkpoint();
    if (busy) throw new Error("Cannot cut log: another program reads it");
  } catch (error) {
    if (isDamage(error)) throw error;
    const cure = "restart k3s when no other program has the file open and the disk has room";
    log.warn({ file: path, error, cure }, "the datastore's log keeps an end that is not whole");
  }
}

/** One that is gone by now was written back by another program. */
async function syncLog(path: string): Promise<void> {
  let file: FileHandle;
  try {
    file = await open(`${path}-wal`, "r");
  } catch (error) {
    if (isAbsent(error)) return;
    throw error;
  }
  try {
    await file.datasync();
  } finally {
    await file.close();
  }
}

/** What to tell of damage that was met in spite of the check: the log is copied before SQLite writes it back. */
export async function keepFromDamage(path: string, error: unknown): Promise<unknown> {
  if (!isDamage(error) || (await sizeOf(`${path}-wal`)) === 0) return error;
  return SqliteError.corrupt(path, error, await keepCopy(path, { logOnly: false }));
}

async function tellLeftOut(path: string, log: Logger): Promise<void> {
  const copy = await keepCopy(path, { logOnly: true });
  if (typeof copy === "string") log.warn({ file: path, copy }, `${LEFT_OUT}, a copy was kept`);
  else log.warn({ file: path, error: copy }, `${LEFT_OUT}, no copy could be kept`);
}

async function assertSound(path: string, quickCheck: () => Promise<readonly string[]>): Promise<void> {
  try {
    const [finding] = await quickCheck();
    if (finding !== undefined)
      throw SqliteError.corrupt(path, new Error(finding), await keepCopy(path, { logOnly: false }));
  } catch (error) {
    if (error instanceof SqliteError) throw error;
    // Whatever else there is the writing connection meets as well, and tells.
    if (isDamage(error)) throw SqliteError.corrupt(path, error, await keepCopy(path, { logOnly: false }));
  }
}

/** The folder of the copy, or why there is none. */
async function keepCopy(path: string, options: { readonly logOnly: boolean }): Promise<string | Error> {
  try {
    return await keepDamaged(path, options);
  } catch (error) {
    return new Error("Cannot keep a copy of the damaged files", { cause: error });
  }
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (isAbsent(error)) return 0;
    throw error;
  }
}
