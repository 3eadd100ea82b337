import { access, constants, mkdtemp, open, readFile, realpath, rm, stat, statfs } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { DiskFacts } from "../host-facts.ts";
import { findMount } from "../find-mount.ts";

const SYNC_WRITES = 16;
const SYNC_BYTES = 4096;

/** Looks at the file system of the data dir, or of the folder that it will be made in. Leaves nothing behind. */
export async function inspectDisk(dataDir: string): Promise<DiskFacts> {
  const place = await nearestFolder(dataDir);
  const { bavail, bsize, files, ffree } = await statfs(place);
  const mount = findMount(await readFile("/proc/self/mountinfo", "utf8"), await realpath(place));
  const isWritable = await access(place, constants.W_OK | constants.X_OK).then(
    () => true,
    () => false,
  );
  return {
    dataDir,
    place,
    isWritable,
    filesystem: mount?.filesystem ?? "unknown",
    mountPoint: mount?.point ?? "/",
    mountOptions: mount?.options ?? [],
    freeBytes: bavail * bsize,
    // Some file systems make inodes as they go and say 0 of 0.
    freeFiles: files > 0 ? ffree : undefined,
    syncMs: isWritable ? await measureSync(place).catch(() => undefined) : undefined,
  };
}

/** The folder itself, or the nearest one above it that is there. */
export async function nearestFolder(path: string): Promise<string> {
  for (let place = path; ; place = dirname(place)) {
    const found = await stat(place).catch(() => undefined);
    if (found?.isDirectory() === true || place === "/") return place;
  }
}

/** Times what a database does for each change: a small write that is durable before it is acknowledged. */
async function measureSync(place: string): Promise<DiskFacts["syncMs"]> {
  const folder = await mkdtemp(join(place, ".k3s-sync-"));
  try {
    await using file = await open(join(folder, "log"), "w", 0o600);
    const times: number[] = [];
    for (let n = 0; n < SYNC_WRITES; n++) {
      const startedAt = performance.now();
      await file.write(Buffer.alloc(SYNC_BYTES, n));
      await file.datasync();
      times.push(performance.now() - startedAt);
    }
    times.sort((a, b) => a - b);
    return { median: times[SYNC_WRITES / 2] ?? 0, worst: times.at(-1) ?? 0 };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
