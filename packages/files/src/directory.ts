import { chmod, mkdir, readFile, rm, stat } from "node:fs/promises";

/** Makes the folder and its parents; the folder itself gets `mode` also when it was there before. */
export async function ensureDirectory(path: string, mode: number): Promise<void> {
  await mkdir(path, { recursive: true, mode });
  if (((await stat(path)).mode & 0o7777) !== mode) await chmod(path, mode);
}

/** The content, or undefined when there is no such file. */
export async function readIfExists(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}

/** Removes a file or link; its absence is fine. */
export async function removeIfExists(path: string): Promise<void> {
  await rm(path, { force: true });
}

/** Whether an operation failed because there is nothing at the path. */
export function isAbsent(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR");
}
