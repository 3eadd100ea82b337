import { readFileSync, statSync } from "node:fs";

/**
 * Whether another process has the file open as a database: in WAL mode each connection that has read holds a lock on it (sqlite.org/wal.html, 8),
 * and proc_locks(5) names the process and the inode. An inode of the same number elsewhere counts as well: that is the safe side.
 */
export function hasOtherUsers(path: string): boolean {
  const inode = String(statSync(path).ino);
  return readLocks().some((line) => isOthers(line, inode));
}

/** As `1: POSIX  ADVISORY  READ 1234 fe:00:5678 1073741826 1073742335`; who waits for a lock has an arrow in front of its kind. */
function isOthers(line: string, inode: string): boolean {
  const [, kind, , , pid, place] = line.trim().split(/\s+/);
  return (kind === "POSIX" || kind === "OFDLCK") && pid !== String(process.pid) && place?.split(":").at(-1) === inode;
}

function readLocks(): readonly string[] {
  return readFileSync("/proc/locks", "utf8").split("\n");
}
