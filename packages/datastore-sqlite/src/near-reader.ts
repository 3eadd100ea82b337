import { closeSync, openSync } from "node:fs";
import { isCached } from "@k3s/native";
import { bundledAddon } from "./bundled-addon.ts";
import { connect, type Connection } from "./connection.ts";
import { valueReader } from "./reader-operations.ts";
import type { WorkerData, WorkerSettings } from "./worker-protocol.ts";

/** In one turn of the event loop: two milliseconds of work. */
const TURN_ROWS = 512;
/** The same in values, but for the one that reaches it: a value of a megabyte is as much work as hundreds of small ones. */
const TURN_BYTES = 512 * 1024;
/** Larger files are not looked at: that would take milliseconds itself. */
const FILE_BYTES_MAX = 512 * 1024 * 1024;
/** How long a look at the kernel's memory holds. What it keeps does not go within moments of its use. */
const LOOK_MS = 1000;

interface NearReaderParts {
  /** A monotonic clock. Default: that of the process. */
  readonly nowMs?: () => number;
  /** Whether file and log are in the kernel's memory. Default: the kernel says it. */
  readonly look?: () => boolean;
}

/**
 * Reads a few values on the thread of its caller, which takes 10 µs instead of two changes of threads. Only while file and log are in the
 * kernel's memory: then no disk is asked, and a slow one holds up nobody. All else is left to the worker.
 */
export class NearReader {
  readonly #settings: WorkerData;
  readonly #nowMs: () => number;
  readonly #look: () => boolean;
  /** Open until no connection is left: closing any descriptor of the file gives up SQLite's locks on it (fcntl(2)). */
  readonly #file: number;
  #connection: Connection | undefined;
  #read: ReturnType<typeof valueReader> | undefined;
  #turnRows = 0;
  #turnBytes = 0;
  #isCached = false;
  #lookedAt = -Infinity;

  /** The file must exist and have its tables. */
  constructor(settings: WorkerSettings, { nowMs, look }: NearReaderParts = {}) {
    this.#nowMs = nowMs ?? (() => performance.now());
    this.#look = look ?? (() => this.#areCached());
    this.#settings = { ...settings, isReadOnly: true, addon: bundledAddon() };
    this.#file = openSync(settings.path, "r");
  }

  /** As `Driver.values`, at once, of the first rows: the others, which may be all, are to be asked elsewhere. */
  values(rows: readonly number[]): readonly (Buffer | undefined)[] {
    const restBytes = TURN_BYTES - this.#turnBytes;
    if (this.#turnRows + rows.length > TURN_ROWS || restBytes <= 0 || !this.#mayRead()) return [];
    if (this.#turnRows === 0) setImmediate(() => this.#nextTurn());
    this.#turnRows += rows.length;
    try {
      this.#read ??= valueReader(this.#open());
      const found = this.#read(rows, restBytes);
      for (const value of found) this.#turnBytes += value?.length ?? 0;
      return found;
    } catch {
      this.#isCached = false; // whoever is asked instead tells what is wrong
      return [];
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

  /** Kept where only the statement fails: one that is lost would outlive the driver. */
  #open(): Connection {
    this.#connection ??= connect(this.#settings);
    return this.#connection;
  }

  #nextTurn(): void {
    this.#turnRows = 0;
    this.#turnBytes = 0;
  }

  #mayRead(): boolean {
    const now = this.#nowMs();
    if (now - this.#lookedAt >= LOOK_MS) {
      this.#lookedAt = now;
      this.#isCached = this.#look();
    }
    return this.#isCached;
  }

  #areCached(): boolean {
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
