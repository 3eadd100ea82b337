import { open } from "node:fs/promises";

/** Brings the names in a folder to the disk. */
export async function syncFolder(path: string): Promise<void> {
  await using folder = await open(path, "r"); // fsync(2): what is renamed into it is there after a power cut
  await folder.sync();
}
