import { createReadStream, createWriteStream } from "node:fs";
import { open, readdir, rename, rm, stat, type FileHandle } from "node:fs/promises";
import { basename, dirname, extname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { makeDirectory } from "@k3s/files";
import type { Logger } from "@k3s/log";

export interface RotatingFileOptions {
  readonly path: string;
  readonly maxBytes: number;
  /** How many old files are kept, as `<name>-<time>.log.gz` beside the file. */
  readonly backups: number;
  readonly maxAgeDays: number;
}

/** The limits k3s has for containerd.log. */
export const rawLogLimits = { maxBytes: 50 * 1024 * 1024, backups: 3, maxAgeDays: 28 } as const;

const DAY_MS = 24 * 60 * 60 * 1000;

/**
 * An append-only log file that replaces itself when it is full. Nothing but open() can fail for the writer: on a full disk
 * or without the folder the data is lost, which is logged when it begins and when it is over.
 */
export class RotatingFile {
  readonly #options: RotatingFileOptions;
  readonly #log: Logger;
  #file: FileHandle | undefined;
  #sizeBytes = 0;
  #failing = false;
  #work: Promise<void> = Promise.resolve();
  #compressing: Promise<void> = Promise.resolve();

  constructor(options: RotatingFileOptions, log: Logger) {
    this.#options = options;
    this.#log = log;
  }

  /** Makes the folder and opens the file, for a caller that wants to know now whether that works. Rejects when it does not. */
  async open(): Promise<void> {
    await makeDirectory(dirname(this.#options.path));
    this.#file ??= await this.#open();
  }

  /** Resolves once the data is written or given up: wait for it before reading more. Never rejects. */
  write(data: Buffer): Promise<void> {
    this.#work = this.#work.then(() => this.#guard(() => this.#append(data)));
    return this.#work;
  }

  /** Finishes what was begun and closes the file; a later write opens it again. */
  async close(): Promise<void> {
    this.#work = this.#work.then(() => this.#guard(() => this.#shut()));
    await this.#work;
    await this.#compressing;
  }

  async #guard(task: () => Promise<void>): Promise<void> {
    try {
      await task();
      if (this.#failing) this.#log.info({ path: this.#options.path }, "output file can be written again");
      this.#failing = false;
    } catch (error) {
      if (!this.#failing) this.#log.warn({ path: this.#options.path, error }, "cannot write output file, data is lost");
      this.#failing = true;
    }
  }

  async #append(data: Buffer): Promise<void> {
    this.#file ??= await this.#open();
    if (this.#sizeBytes > 0 && this.#sizeBytes + data.length > this.#options.maxBytes)
      this.#file = await this.#rotate();
    await this.#file.appendFile(data);
    this.#sizeBytes += data.length;
  }

  async #open(): Promise<FileHandle> {
    const file = await open(this.#options.path, "a", 0o600);
    this.#sizeBytes = (await file.stat()).size;
    return file;
  }

  async #shut(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.close();
  }

  async #rotate(): Promise<FileHandle> {
    await this.#shut();
    const { dir, stem, extension } = this.#nameParts();
    const stamp = new Date().toISOString().replaceAll(":", "-").replace("Z", "");
    const backup = join(dir, `${stem}-${stamp}${extension}`);
    await rename(this.#options.path, backup);
    this.#compressing = this.#compressing.then(() => this.#guard(() => this.#archive(backup)));
    return this.#open();
  }

  async #archive(backup: string): Promise<void> {
    await pipeline(createReadStream(backup), createGzip(), createWriteStream(`${backup}.gz`, { mode: 0o600 }));
    await rm(backup);
    await this.#prune();
  }

  async #prune(): Promise<void> {
    const { dir, stem, extension } = this.#nameParts();
    const names = (await readdir(dir)).filter((name) => name.startsWith(`${stem}-`) && name.includes(extension));
    const newestFirst = names.sort().reverse();
    const oldestMs = Date.now() - this.#options.maxAgeDays * DAY_MS;
    for (const [index, name] of newestFirst.entries()) {
      const path = join(dir, name);
      if (index >= this.#options.backups || (await stat(path)).mtimeMs < oldestMs) await rm(path, { force: true });
    }
  }

  #nameParts(): { readonly dir: string; readonly stem: string; readonly extension: string } {
    const { path } = this.#options;
    const extension = extname(path);
    return { dir: dirname(path), stem: basename(path, extension), extension };
  }
}
