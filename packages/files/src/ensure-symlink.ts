import { randomBytes } from "node:crypto";
import { readlink, rename, rm, symlink } from "node:fs/promises";

/** Makes `path` a symbolic link to `target` in one step, in place of whatever file or link was there. */
export async function ensureSymlink(target: string, path: string): Promise<void> {
  if ((await readlink(path).catch(() => undefined)) === target) return;
  const temporary = `${path}.tmp-${randomBytes(6).toString("hex")}`;
  await symlink(target, temporary);
  try {
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}
