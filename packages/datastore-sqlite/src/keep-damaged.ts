import { constants } from "node:fs";
import { copyFile, mkdir, open, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { isAbsent } from "@k3s/files";

/**
 * Copies a database with its log into a folder of its own beside it, `state.db.damaged-<time of the last change>`, with the modes they have,
 * and answers the folder. Files that have not changed since are not copied twice. Rejects when there is no room, and leaves nothing then.
 */
export async function keepDamaged(path: string, options: { readonly logOnly: boolean }): Promise<string> {
  const files = options.logOnly ? [`${path}-wal`] : [path, `${path}-wal`];
  const changed = await Promise.all(files.map(changedAt));
  const time = new Date(Math.max(...changed)).toISOString().replaceAll(/[-:.]/g, "");
  const folder = `${path}.damaged-${time}`;
  if ((await changedAt(folder)) !== 0) return folder;
  const partial = `${folder}.partial`;
  try {
    await rm(partial, { recursive: true, force: true });
    await mkdir(partial, { mode: 0o700 });
    for (const [index, file] of files.entries()) if (changed[index] !== 0) await copyDurably(file, partial);
    await rename(partial, folder);
    await syncAt(dirname(folder));
    return folder;
  } catch (error) {
    await rm(partial, { recursive: true, force: true });
    throw error;
  }
}

async function copyDurably(file: string, folder: string): Promise<void> {
  const copy = join(folder, basename(file));
  await copyFile(file, copy, constants.COPYFILE_FICLONE);
  await syncAt(copy);
  await syncAt(folder);
}

async function syncAt(path: string): Promise<void> {
  const file = await open(path, "r");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Milliseconds since the epoch; 0: there is no such file. */
async function changedAt(path: string): Promise<number> {
  try {
    return (await stat(path)).mtimeMs;
  } catch (error) {
    if (isAbsent(error)) return 0;
    throw error;
  }
}
