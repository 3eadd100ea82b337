import { execFile } from "node:child_process";
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { isAbsent } from "@k3s/files";
import type { Random } from "../traffic/random.ts";

const SOURCE = join(import.meta.dirname, "power-cut.c");
const COMPILER = "gcc";
const FLAGS = ["-std=gnu17", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"];
const PAGE_BYTES = 4096;
/** Not on the disk, or without content. */
const NOT_FOLLOWED = /-shm$|\.lock$|\.sock$/;

/**
 * A folder on a disk that can lose power: of what a program wrote and did not make durable, any page may be gone. The program
 * has to be started with {@link environment}.
 */
export class UnreliableDisk implements AsyncDisposable {
  readonly folder: string;
  readonly #root: string;
  readonly #shadow: string;
  readonly #library: string;
  readonly #lies: boolean;

  private constructor(root: string, lies: boolean) {
    this.#root = root;
    this.folder = join(root, "disk");
    this.#shadow = join(root, "durable");
    this.#library = join(root, "power-cut.so");
    this.#lies = lies;
  }

  /** Makes an empty one. With `lies` it says of everything that it is durable, and keeps nothing. Needs a C compiler. */
  static async create({ lies }: { readonly lies: boolean }): Promise<UnreliableDisk> {
    const disk = new UnreliableDisk(await mkdtemp(join(tmpdir(), "k3s-disk-")), lies);
    try {
      await mkdir(disk.folder);
      await mkdir(disk.#shadow);
      await promisify(execFile)(COMPILER, [...FLAGS, "-o", disk.#library, SOURCE]);
      return disk;
    } catch (error) {
      await disk[Symbol.asyncDispose]();
      throw new Error(`Cannot make disk: "${COMPILER}" does not compile its library`, { cause: error });
    }
  }

  get environment(): Readonly<Record<string, string>> {
    const folders = { POWER_CUT_FOLDER: this.folder, POWER_CUT_SHADOW: this.#shadow };
    return { LD_PRELOAD: this.#library, ...folders, ...(this.#lies ? { POWER_CUT_LIES: "1" } : {}) };
  }

  /** What the power loss leaves, after the program was killed; what is left is durable from then on. */
  async cut(random: Random): Promise<void> {
    for (const entry of await readdir(this.folder, { withFileTypes: true })) {
      const { name } = entry;
      if (NOT_FOLLOWED.test(name)) await rm(join(this.folder, name));
      else if (entry.isFile()) await this.#cutFile(name, random); // a folder holds a damaged log that was put aside: nobody reads it
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#root, { recursive: true, force: true });
  }

  async #cutFile(name: string, random: Random): Promise<void> {
    const [path, shadow] = [join(this.folder, name), join(this.#shadow, name)];
    const written = await readFile(path);
    const durable = await readFile(shadow).catch((error: unknown) => {
      if (isAbsent(error)) return Buffer.alloc(0);
      throw error;
    });
    // Of a disk that lies nothing is taken: a mixture of what was never durable is seldom a database any more.
    await writeFile(path, this.#lies ? durable : mixPages(written, durable, random));
    await copyFile(path, shadow);
  }
}

/** Every page that differs is the old or the new one, and the length as well. */
function mixPages(written: Buffer, durable: Buffer, random: Random): Buffer {
  const mixed = Buffer.alloc(random.chance(0.5) ? written.length : durable.length);
  durable.copy(mixed);
  for (let at = 0; at < mixed.length; at += PAGE_BYTES) {
    if (random.chance(0.5)) written.copy(mixed, at, at, at + PAGE_BYTES);
  }
  return mixed;
}
