import { stat, writeFile } from "node:fs/promises";
import { isAbsent, readIfExists, removeIfExists } from "@k3s/files";

/** Says that the log beside the database was left there by a server that ended in order. */
function markOf(path: string): string {
  return `${path}.closed`;
}

/** Marks the files as they are now. Last of all, and before the lock on them is given back. */
export async function markClosed(path: string): Promise<void> {
  await writeFile(markOf(path), await lookOf(path), { mode: 0o600 });
}

/** Whether the files are as {@link markClosed} found them. Takes the mark away: from now on they are in use. */
export async function takeClosedMark(path: string): Promise<boolean> {
  const marked = await readIfExists(markOf(path));
  await removeIfExists(markOf(path));
  return marked !== undefined && marked.toString() === (await lookOf(path));
}

/** Changes with every write. */
async function lookOf(path: string): Promise<string> {
  const looks = await Promise.all([path, `${path}-wal`].map(lookOfFile));
  return looks.join(" ");
}

async function lookOfFile(path: string): Promise<string> {
  try {
    const { size, mtimeNs } = await stat(path, { bigint: true });
    return `${size}@${mtimeNs}`;
  } catch (error) {
    if (isAbsent(error)) return "absent";
    throw error;
  }
}
