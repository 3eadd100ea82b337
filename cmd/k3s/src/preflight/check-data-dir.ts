import { access, constants, readFile, realpath, stat, statfs } from "node:fs/promises";
import { dirname } from "node:path";
import { PreflightError } from "../errors.ts";

/** Less than this is not enough for a database, its log and one image. */
const FREE_MIN_BYTES = 100 * 1024 * 1024;
const FREE_MIN_FILES = 1000;

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
  if (freeBytes < FREE_MIN_BYTES) {
    throw PreflightError.dataDirFull(path, { what: formatMiB(freeBytes), needed: formatMiB(FREE_MIN_BYTES) });
  }
  // Some file systems make inodes as they go and say 0 of 0.
  if (files > 0 && ffree < FREE_MIN_FILES) {
    throw PreflightError.dataDirFull(path, { what: `${ffree} inodes`, needed: `${FREE_MIN_FILES} inodes` });
  }
}

function formatMiB(bytes: number): string {
  return `${Math.floor(bytes / 1024 / 1024)} MiB`;
}

interface Mount {
  readonly point: string;
  readonly options: readonly string[];
}

/** The mount that holds `path`: the longest mount point that contains it, the latest of those on the same point (proc(5)). */
export function findMount(mountinfo: string, path: string): Mount | undefined {
  let best: Mount | undefined;
  for (const line of mountinfo.split("\n")) {
    const [, , , , rawPoint, options] = line.split(" ");
    if (rawPoint === undefined || options === undefined) continue;
    const point = rawPoint.replace(/\\([0-7]{3})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 8)));
    const isAbove = path === point || path.startsWith(point === "/" ? "/" : `${point}/`);
    if (isAbove && point.length >= (best?.point.length ?? 0)) best = { point, options: options.split(",") };
  }
  return best;
}
