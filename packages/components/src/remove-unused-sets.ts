import { readdir, readlink, rm, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { acquireLock, LockHeldError } from "@k3s/files";
import type { Logger } from "@k3s/log";

/** Folders named by a digest, and what interrupted processes left of one. */
const SET = /^[0-9a-f]{64}$/;
const RUIN = /^[0-9a-f]{64}-(tmp|damaged-\d+)$/;

/**
 * Removes sets of earlier versions below `data` of which no program runs any more (shims of pods go on for as long as their pod),
 * and half made ones. What `current` and `previous` point to stays. Does nothing while somebody unpacks; never rejects.
 */
export async function removeUnusedSets(data: string, log: Logger): Promise<void> {
  try {
    const kept = await keptNames(data);
    if ((await candidates(data, kept)).length === 0) return;
    await using _lock = await acquireLock(join(data, ".lock"));
    const running = await runningFiles();
    for (const name of await candidates(data, kept)) {
      const path = join(data, name);
      if (SET.test(name) && (await containsAny(path, running))) continue;
      await rm(path, { recursive: true, force: true });
      log.info({ path }, "removed components that nothing uses any more");
    }
  } catch (error) {
    if (!(error instanceof LockHeldError)) log.warn({ error, path: data }, "cannot remove unused components");
  }
}

async function candidates(data: string, kept: ReadonlySet<string>): Promise<string[]> {
  return (await readdir(data)).filter((name) => (SET.test(name) && !kept.has(name)) || RUIN.test(name));
}

async function keptNames(data: string): Promise<ReadonlySet<string>> {
  const targets = ["current", "previous"].map((link) => readlink(join(data, link)).catch(() => ""));
  return new Set((await Promise.all(targets)).map((target) => basename(target)));
}

/** Device and inode of each program that runs on this machine: paths differ between mount namespaces. */
async function runningFiles(): Promise<ReadonlySet<string>> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const files = pids.map((pid) => identity(`/proc/${pid}/exe`)); // none for a kernel thread or one that has ended
  return new Set((await Promise.all(files)).filter((file) => file !== undefined));
}

async function containsAny(folder: string, files: ReadonlySet<string>): Promise<boolean> {
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = await identity(join(entry.parentPath, entry.name));
    if (file !== undefined && files.has(file)) return true;
  }
  return false;
}

async function identity(path: string): Promise<string | undefined> {
  const found = await stat(path, { bigint: true }).catch(() => undefined);
  return found === undefined ? undefined : `${found.dev}:${found.ino}`;
}
