import { createHash } from "node:crypto";
import { access, mkdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { waitForLock, type SourceContext } from "@k3s/components";

/** A folder of the cache that is made once. */
export interface CachedFolder {
  /** Begin of its name. */
  readonly name: string;
  /** The module that says what goes into it: a change of its text makes another folder, which another checkout does not get to see. */
  readonly recipe: string;
  /** Fills `staging`, which does not exist; the result is found at `folder` then. */
  readonly make: (staging: string, folder: string) => Promise<void>;
}

const LOCK_WAIT_MS = 20 * 60_000;

/** Returns the folder, made where it is not there; who comes meanwhile waits. What was interrupted is begun anew. */
export async function provideCachedFolder(
  { name, recipe, make }: CachedFolder,
  { cacheDir, progress, signal }: SourceContext,
): Promise<string> {
  const key = createHash("sha256")
    .update(await readFile(recipe))
    .digest("hex");
  const folder = join(cacheDir, `${name}-${key.slice(0, 12)}`);
  await mkdir(cacheDir, { recursive: true });
  await using _lock = await waitForLock(`${folder}.lock`, {
    limitMs: LOCK_WAIT_MS,
    onWait: (owner) => progress({ step: "Wait for another run", note: `process ${owner} makes ${folder}` }),
    signal,
  });
  if (await isThere(folder)) return folder;
  const staging = `${folder}.tmp`; // one at a time
  try {
    await rm(staging, { recursive: true, force: true });
    await make(staging, folder);
    await rename(staging, folder);
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
  return folder;
}

function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
