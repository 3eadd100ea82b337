import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import { waitForLock, type SourceContext } from "@k3s/components";
import { describeError } from "@k3s/errors";
import { acquireLock, isAbsent, LockHeldError } from "@k3s/files";

/** A folder of the cache that is made once. */
export interface CachedFolder {
  /** Begin of its name. */
  readonly name: string;
  /** The module that says what goes into it: a change of its text makes another folder, which another checkout does not get to see. */
  readonly recipe: string;
  /** Fills `staging`, which does not exist; the result is found at `folder` then. */
  readonly make: (staging: string, folder: string) => Promise<void>;
}

const LOCK_WAIT_MS = 20 * 60_000;
/** Folders of other recipes go when nobody has used them for so long: another checkout may be at an earlier one. */
const UNUSED_MS = 30 * 24 * 3600_000;

/**
 * Returns the folder, made where it is not there; who comes meanwhile waits. What was interrupted is begun anew. Removes folders of the
 * same name that nobody uses any more.
 */
export async function provideCachedFolder(wanted: CachedFolder, context: SourceContext): Promise<string> {
  const folder = await provide(wanted, context);
  await removeUnused(wanted.name, folder, context);
  return folder;
}

async function provide(
  { name, recipe, make }: CachedFolder,
  { cacheDir, progress, signal }: SourceContext,
): Promise<string> {
  const key = createHash("sha256")
    .update(await readFile(recipe))
    .digest("hex");
  const folder = join(cacheDir, `${name}-${key.slice(0, 12)}`);
  await mkdir(cacheDir, { recursive: true });
  await using _lock = await waitForLock(`${folder}.lock`, {
    limitMs: LOCK_WAIT_MS,
    onWait: (owner) => progress({ step: "Wait for another run", note: `process ${owner} makes ${folder}` }),
    signal,
  });
  if ((await changedAtMs(folder)) > 0) {
    await utimes(folder, new Date(), new Date()); // says that it is in use
    return folder;
  }
  const staging = `${folder}.tmp`; // one at a time
  try {
    await rm(staging, { recursive: true, force: true });
    await make(staging, folder);
    await rename(staging, folder);
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
  return folder;
}

async function removeUnused(name: string, used: string, { cacheDir, progress }: SourceContext): Promise<void> {
  const isOne = new RegExp(`^${name}-[0-9a-f]{12}(\\.tmp)?$`);
  const found = (await readdir(cacheDir)).filter((entry) => isOne.test(entry));
  const folders = new Set(found.map((entry) => join(cacheDir, entry.replace(/\.tmp$/, ""))));
  folders.delete(used);
  for (const folder of folders) {
    try {
      if (await removeIfUnused(folder)) progress({ step: "Clean the cache", note: `removed ${folder}` });
    } catch (error) {
      progress({ step: "Clean the cache", note: `cannot remove ${folder}: ${describeError(error)}` });
    }
  }
}

/** The lock file stays: whoever waits for it has it open. */
async function removeIfUnused(folder: string): Promise<boolean> {
  const lockPath = `${folder}.lock`;
  const oldest = Date.now() - UNUSED_MS;
  if ((await changedAtMs(lockPath)) > oldest) return false; // each use writes it, as we do next
  try {
    await using _lock = await acquireLock(lockPath);
    if ((await changedAtMs(folder)) > oldest) return false;
    for (const path of [folder, `${folder}.tmp`]) await rm(path, { recursive: true, force: true });
    return true;
  } catch (error) {
    if (error instanceof LockHeldError) return false;
    throw error;
  }
}

/** 0: there is no such thing. */
async function changedAtMs(path: string): Promise<number> {
  try {
    return (await stat(path)).mtimeMs;
  } catch (error) {
    if (isAbsent(error)) return 0;
    throw error;
  }
}
