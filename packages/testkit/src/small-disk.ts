import { execFile } from "node:child_process";
import { mkdir, open, rm } from "node:fs/promises";
import { promisify } from "node:util";

const run = promisify(execFile);
const PIECES = [1_000_000, 4096];

/** A file system of its own that a test can fill. */
export class SmallDisk implements AsyncDisposable {
  readonly folder: string;
  readonly #filler: string;

  private constructor(folder: string) {
    this.folder = folder;
    this.#filler = `${folder}/filler`;
  }

  /** Mounts it on `folder`, which is made when missing. `size` as mount takes it for a tmpfs: 24m. The caller disposes of it. */
  static async mount(folder: string, size: string): Promise<SmallDisk> {
    await mkdir(folder, { recursive: true });
    await run("mount", ["-t", "tmpfs", "-o", `size=${size},mode=0700`, "k3s-test", folder]);
    return new SmallDisk(folder);
  }

  /** Takes all room that is left, as another program would. */
  async fill(): Promise<void> {
    const file = await open(this.#filler, "a");
    try {
      for (const bytes of PIECES) await writeUntilFull(file, Buffer.alloc(bytes, 1));
    } finally {
      await file.close();
    }
  }

  /** Gives back what {@link fill} took. */
  async drain(): Promise<void> {
    await rm(this.#filler, { force: true });
  }

  /** Unmounts it, also while a program still has files open there. */
  async [Symbol.asyncDispose](): Promise<void> {
    await run("umount", ["--lazy", this.folder]);
  }
}

async function writeUntilFull(file: Awaited<ReturnType<typeof open>>, piece: Buffer): Promise<void> {
  try {
    for (;;) await file.write(piece);
  } catch (error) {
    const isFull = error instanceof Error && "code" in error && error.code === "ENOSPC";
    if (!isFull) throw error;
  }
}
