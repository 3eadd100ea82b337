import { chmod, mkdir, readFile, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";

/**
 * Makes the folder and its missing parents, all with `mode`, as `mkdir -p` does; a folder that is there stays as it is.
 * Node's own way never ends below a folder in which the kernel makes none, such as /proc.
 */
export async function makeDirectory(path: string, mode = 0o777): Promise<void> {
  try {
    await makeOne(path, mode);
  } catch (error) {
    const isMissing = error instanceof Error && "code" in error && error.code === "ENOENT";
    if (!isMissing) throw error;
    const parent = dirname(path);
    // Somebody else may have made it by now.
    if (!(await isDirectory(parent))) await makeDirectory(parent, mode);
    await makeOne(path, mode); // with its parent there it is made or refused
  }
}

async function makeOne(path: string, mode: number): Promise<void> {
  try {
    await mkdir(path, { mode });
  } catch (error) {
    if (!(await isDirectory(path))) throw error;
  }
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    if (isAbsent(error)) return false;
    throw error;
  }
}

/** Makes the folder and its parents; the folder itself gets `mode` also when it was there before. */
export async function ensureDirectory(path: string, mode: number): Promise<void> {
  await makeDirectory(path, mode);
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
