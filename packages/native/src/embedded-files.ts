import { accessSync, closeSync, constants, existsSync, openSync, statSync, writeSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { getRawAsset, isSea } from "node:sea";
import { NativeError } from "./errors.ts";

/** open(2): a file without a name, in the folder that is given as path. */
const O_TMPFILE = 0o20000000 | constants.O_DIRECTORY;

/** Paths of files that this thread has laid out. */
const laidOut = new Map<string, string>();

/** Whether this is the one executable, which carries its native parts inside. */
export function isOneFile(): boolean {
  return isSea();
}

/**
 * A path under which a native part inside the executable can be loaded or executed by this process, its threads and what it
 * forks: /proc/self/fd/N of a file that has no name, so nothing is left behind however we end. Throws NativeError.
 */
export function embeddedFile(name: string): string {
  const known = laidOut.get(name);
  if (known !== undefined) return known;
  const path = layOut(name, new Uint8Array(getRawAsset(name)));
  laidOut.set(name, path);
  return path;
}

function layOut(name: string, content: Uint8Array): string {
  const failures: Error[] = [];
  for (const folder of folders().filter((path) => existsSync(path))) {
    try {
      return writeNameless(folder, content);
    } catch (error) {
      failures.push(error instanceof Error ? error : new Error(String(error)));
    }
  }
  throw NativeError.noPlace(name, folders(), new AggregateError(failures));
}

/** Folders that one of us may write to and execute from; on disk rather than in memory. */
function folders(): readonly string[] {
  const own = process.geteuid?.() === 0 ? ["/var/lib/rancher/k3s", "/var/lib"] : [homedir()];
  return [...own, "/var/tmp", tmpdir(), "/dev/shm", "/run"];
}

/** Opened anew for reading at the end: what is open for writing cannot be executed. */
function writeNameless(folder: string, content: Uint8Array): string {
  const written = openSync(folder, O_TMPFILE | constants.O_RDWR, 0o700);
  try {
    for (let done = 0; done < content.length;) done += writeSync(written, content, done);
    const path = `/proc/self/fd/${openSync(`/proc/self/fd/${written}`, constants.O_RDONLY)}`;
    accessSync(path, constants.X_OK); // refuses where nothing may be executed
    if (statSync(path).size !== content.length) throw new Error(`"${folder}" kept a part only`);
    return path;
  } finally {
    closeSync(written);
  }
}
