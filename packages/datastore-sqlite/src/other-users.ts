import { closeSync, openSync } from "node:fs";
import { isLockedElsewhere } from "@k3s/native";

/**
 * Tells whether another process has the file open as a database: in WAL mode each connection that has read holds a lock on it
 * (sqlite.org/wal.html, 8). The kernel is asked for the lock and not for the process, which may be in a container that we cannot see into.
 */
export class OtherUsers implements Disposable {
  /** Open until no connection is left: closing any descriptor of the file gives up SQLite's locks on it (fcntl(2)). */
  readonly #file: number;

  /** The file must exist. */
  constructor(path: string) {
    this.#file = openSync(path, "r");
  }

  areThere(): boolean {
    return isLockedElsewhere(this.#file);
  }

  /** After all connections of this process are closed. */
  [Symbol.dispose](): void {
    closeSync(this.#file);
  }
}
