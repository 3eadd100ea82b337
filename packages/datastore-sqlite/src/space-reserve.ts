import { randomBytes } from "node:crypto";
import { open, rm, stat, statfs, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { isAbsent } from "@k3s/files";
import type { Logger } from "@k3s/log";

/** Room for writing the log back (about 4 MiB of it are not) and for deletes and compactions after that. */
const RESERVE_BYTES = 8 * 1024 * 1024;
/** What the log takes at most while it is written back often, and then a delete beside it. */
const LOG_BYTES = 4 * 1024 * 1024;
/** What must stay free beside it: else the next put finds the disk full again. More than a log that is written back sets free. */
const MARGIN_BYTES = 8 * 1024 * 1024;
/** Below this a log that grows and the file that it is written back to may both want what is left. */
const SHORT_BYTES = 64 * 1024 * 1024;
/** Random, so that no file system stores less than it promises. */
const PIECE_BYTES = 1024 * 1024;

/**
 * A file that holds space free for deletes and compactions on a full disk. Given away it stays, without content: a later server finds out.
 *
 *   absent --build--> held --release--> released --build--> held
 */
export class SpaceReserve {
  readonly #path: string;
  readonly #log: Logger;
  #state: "absent" | "held" | "released";
  #building: Promise<boolean> | undefined;

  private constructor(path: string, log: Logger, state: "absent" | "held" | "released") {
    this.#path = path;
    this.#log = log;
    this.#state = state;
  }

  /** Takes over what the server before has left at `path`. */
  static async open(path: string, log: Logger): Promise<SpaceReserve> {
    const bytes = await sizeOf(path);
    if (bytes === undefined) return new SpaceReserve(path, log, "absent");
    return new SpaceReserve(path, log, bytes === RESERVE_BYTES ? "held" : "released");
  }

  /** Whether its space was given away: what is free now is for what makes room. */
  get isReleased(): boolean {
    return this.#state === "released";
  }

  /** Makes the file where there is room for it and for more. Answers whether it is there; never rejects. Calls share one attempt. */
  build(): Promise<boolean> {
    this.#building ??= this.#build().finally(() => (this.#building = undefined));
    return this.#building;
  }

  /** Gives its space to the file system. Answers whether that made any room; never rejects. */
  async release(): Promise<boolean> {
    await this.#building;
    if (this.#state !== "held") return false;
    try {
      await writeFile(this.#path, "", { mode: 0o600 });
    } catch (error) {
      this.#log.warn({ error, file: this.#path }, "cannot give reserved space to the full disk");
      return false;
    }
    this.#state = "released";
    this.#log.error(
      { file: this.#path, cure: "remove other files from this disk, or delete keys and compact" },
      "the disk is full: only deletes and compactions are taken until there is room",
    );
    return true;
  }

  /** Whether enough of what it gave away, or as much, is still free for puts that need no room but in the log. */
  async isFree(): Promise<boolean> {
    return (await freeBytes(dirname(this.#path))) >= LOG_BYTES;
  }

  /** Whether the disk has little room left. */
  async isShort(): Promise<boolean> {
    return (await freeBytes(dirname(this.#path))) < SHORT_BYTES;
  }

  /** Resolves when nothing is being written. */
  async idle(): Promise<void> {
    await this.#building;
  }

  async #build(): Promise<boolean> {
    if (this.#state === "held") return true;
    try {
      if ((await freeBytes(dirname(this.#path))) < RESERVE_BYTES + MARGIN_BYTES) return false;
      await fill(this.#path);
    } catch (error) {
      this.#log.warn({ error, file: this.#path }, "cannot reserve space for a full disk");
      await this.#discard();
      return false;
    }
    if (this.#state === "released") this.#log.info({ file: this.#path }, "the disk has room again, taking all writes");
    this.#state = "held";
    return true;
  }

  async #discard(): Promise<void> {
    try {
      if (this.#state === "released") await writeFile(this.#path, "", { mode: 0o600 });
      else await rm(this.#path, { force: true });
    } catch (error) {
      this.#log.warn({ error, file: this.#path }, "cannot remove a file that reserves space in part");
    }
  }
}

async function fill(path: string): Promise<void> {
  const piece = randomBytes(PIECE_BYTES);
  const file = await open(path, "w", 0o600);
  try {
    for (let at = 0; at < RESERVE_BYTES; at += PIECE_BYTES) await file.writeFile(piece);
    await file.datasync(); // cut by a power failure it would look like given away
  } finally {
    await file.close();
  }
}

async function freeBytes(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize;
}

/** Undefined: there is no such file. */
async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}
