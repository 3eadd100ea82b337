import { access, constants, readFile, realpath, stat, statfs } from "node:fs/promises";
import { dirname } from "node:path";
import { DATA_DIR_MIN, findMount } from "@k3s/check-config";
import { PreflightError } from "../errors.ts";

/** Rejects with PreflightError unless the folder, or the one it will be made in, can take the state of a node. Writes nothing. */
export async function checkDataDir(path: string): Promise<void> {
  const place = await nearestExisting(path);
  const info = await stat(place);
  if (!info.isDirectory()) throw PreflightError.dataDirNotFolder(path, place);
  try {
    await access(place, constants.W_OK | constants.X_OK);
  } catch (error) {
    throw PreflightError.dataDirReadOnly(path, error);
  }
  await checkSpace(path, place);
  const mount = findMount(await readFile("/proc/self/mountinfo", "utf8"), await realpath(place));
  if (mount?.options.includes("noexec") === true) throw PreflightError.dataDirNoExec(path, mount.point);
}

async function nearestExisting(path: string): Promise<string> {
  try {
    await stat(path);
    return path;
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if ((code !== "ENOENT" && code !== "ENOTDIR") || path === "/") throw PreflightError.dataDirReadOnly(path, error);
    return await nearestExisting(dirname(path));
  }
}

async function checkSpace(path: string, place: string): Promise<void> {
  const { bavail, bsize, files, ffree } = await statfs(place);
  const freeBytes = bavail * bsize;
  if (freeBytes < DATA_DIR_MIN.bytes) {
    throw PreflightError.dataDirFull(path, { what: formatMiB(freeBytes), needed: formatMiB(DATA_DIR_MIN.bytes) });
  }
  // Some file systems make inodes as they go and say 0 of 0.
  if (files > 0 && ffree < DATA_DIR_MIN.files) {
    throw PreflightError.dataDirFull(path, { what: `${ffree} inodes`, needed: `${DATA_DIR_MIN.files} inodes` });
  }
}

function formatMiB(bytes: number): string {
  return `${Math.floor(bytes / 1024 / 1024)} MiB`;
}
