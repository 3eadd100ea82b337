import { findLockOwner } from "@k3s/files";

/** Where the process that writes to a file is told apart from others. */
export function lockPath(path: string): string {
  return `${path}.lock`;
}

/** The process that serves a file, by its own id, "" when it has not told; undefined when none of ours does. */
export function findSqliteUser(path: string): string | undefined {
  return findLockOwner(lockPath(path));
}
