import { closeSync, openSync, readFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { flock } from "@k3s/native";

/** Somebody else holds the lock. `owner` is what the holder wrote into the file, usually its process id. */
export class LockHeldError extends Error {
  override readonly name = "LockHeldError";
  readonly owner: string;

  constructor(path: string, owner: string) {
    super(`Cannot lock "${path}": held by process ${owner === "" ? "unknown" : owner}`);
    this.owner = owner;
  }
}

/** A lock that is held until release(), its disposal or the end of the process. */
export interface Lock extends AsyncDisposable {
  release(): Promise<void>;
}

/**
 * Takes an exclusive flock on `path` (created 0600) and writes our process id into it.
 * The kernel gives it back when the process ends, however it ends. Rejects with LockHeldError at once when it is taken.
 */
export async function acquireLock(path: string): Promise<Lock> {
  const file = await open(path, "a+", 0o600);
  if (!flock(file.fd)) {
    const owner = (await file.readFile("utf8")).trim();
    await file.close();
    throw new LockHeldError(path, owner);
  }
  await file.truncate();
  await file.write(`${process.pid}\n`);
  const release = () => file.close();
  return { release, [Symbol.asyncDispose]: release };
}

/**
 * What the holder of the lock on `path` wrote into it, usually its process id; undefined when nobody holds it, or there is no such file.
 * Nothing is made or written. The kernel tells of a flock only to who tries to take it (/proc/locks leaves out other PID namespaces), so a
 * free lock is held for the microseconds it takes to find that out: where this is used, who takes the lock has to try more than once.
 */
export function findLockOwner(path: string): string | undefined {
  let file: number;
  try {
    file = openSync(path, "r");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
  try {
    return flock(file) ? undefined : readFileSync(file, "utf8").trim();
  } finally {
    closeSync(file);
  }
}
