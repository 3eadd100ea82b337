import { closeSync, openSync } from "node:fs";
import { isCached } from "@k3s/native";
import { bundledAddon } from "./bundled-addon.ts";
import { connect, type Connection } from "./connection.ts";
import { valueReader } from "./reader-operations.ts";
import type { WorkerData, WorkerSettings } from "./worker-protocol.ts";

/** In one turn of the event loop: two milliseconds of work. */
const TURN_ROWS = 512;
/** Larger files are not looked at: that would take milliseconds itself. */
const FILE_BYTES_MAX = 512 * 1024 * 1024;
/** How long a look at the kernel's memory holds. What it keeps does not go within moments of its use. */
const LOOK_MS = 1000;

/**
 * Reads a few values on the thread of its caller, which takes 10 µs instead of two changes of threads. Only while file and log are in the
 * kernel's memory: then no disk is asked, and a slow one holds up nobody. All else is left to the worker.
 */
export class NearReader {
  readonly #settings: WorkerData;
  readonly #nowMs: () => number;
  /** Open until no connection is left: closing any descriptor of the file gives up SQLite's locks on it (fcntl(2)). */
  readonly #file: number;
  #connection: Connection | undefined;
  #read: ((rows: readonly number[]) => readonly (Buffer | undefined)[]) | undefined;
  #turnRows = 0;
  #isCached = false;
  #lookedAt = -Infinity;

  /** The file must exist and have its tables. `nowMs`: a monotonic clock. */
  constructor(settings: WorkerSettings, nowMs: () => number = () => performance.now()) {
    this.#nowMs = nowMs;
    this.#settings = { ...settings, isReadOnly: true, addon: bundledAddon() };
    this.#file = openSync(settings.path, "r");
  }

  /** As `Driver.values`, at once; undefined: to be asked elsewhere. */
  values(rows: readonly number[]): readonly (Buffer | undefined)[] | undefined {
    if (this.#turnRows + rows.length > TURN_ROWS || !this.#mayRead()) return undefined;
    if (this.#turnRows === 0) setImmediate(() => (this.#turnRows = 0));
    this.#turnRows += rows.length;
    try {
      this.#read ??= this.#open();
      return this.#read(rows);
    } catch {
      this.#isCached = false; // whoever is asked instead tells what is wrong
      return undefined;
    }
  }

  /** Before any other connection is closed. */
  closeConnection(): void {
    this.#isCached = false;
    this.#lookedAt = Infinity;
    this.#connection?.close();
  }

  /** After all connections are closed. */
  closeFile(): void {
    closeSync(this.#file);
  }

  #open(): (rows: readonly number[]) => readonly (Buffer | undefined)[] {
    this.#connection ??= connect(this.#settings); // kept where only the statement fails: one that is lost would outlive the driver
    return valueReader(this.#connection);
  }

  #mayRead(): boolean {
    const now = this.#nowMs();
    if (now - this.#lookedAt >= LOOK_MS) {
      this.#lookedAt = now;
      this.#isCached = this.#look();
    }
    return this.#isCached;
  }

  #look(): boolean {
    try {
      return isCached(this.#file, FILE_BYTES_MAX) && isLogCached(`${this.#settings.path}-wal`);
    } catch {
      return false;
    }
  }
}

/** SQLite has no locks on its log. */
function isLogCached(path: string): boolean {
  const log = openSync(path, "r");
  try {
    return isCached(log, FILE_BYTES_MAX);
  } finally {
    closeSync(log);
  }
}
