import { randomBytes } from "node:crypto";
import { open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";

export interface WriteOptions {
  /** Final mode; the file never exists with another one. */
  readonly mode: number;
  /** Modification and access time to set, for files whose age carries meaning. */
  readonly mtime?: Date;
}

/** Replaces `path` as a whole: after a crash it holds the old content or the new, on disk, never a part. */
export async function writeFileAtomic(path: string, data: string | Uint8Array, options: WriteOptions): Promise<void> {
  const temporary = `${path}.tmp-${randomBytes(6).toString("hex")}`;
  try {
    const file = await open(temporary, "wx", options.mode);
    try {
      await file.chmod(options.mode); // open() applies the umask
      await file.writeFile(data);
      if (options.mtime !== undefined) await file.utimes(options.mtime, options.mtime);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncDirectory(dirname(path));
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
