import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { chmod, link, stat, symlink, utimes } from "node:fs/promises";
import { dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { makeDirectory } from "@k3s/files";
import { ComponentError } from "./errors.ts";
import type { Manifest, ManifestFile } from "./manifest.ts";
import { setAside, verifyFile } from "./verify.ts";

export interface InstallOptions {
  readonly from: string;
  readonly to: string;
  readonly manifest: Manifest;
  /** Told after each file that had to be copied, with bytes done and bytes in all. */
  readonly onProgress?: ((doneBytes: number, totalBytes: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Fills the empty folder `to` with the set below `from`: hard links on the same file system, else verified copies. */
export async function installFiles(options: InstallOptions): Promise<void> {
  const { from, to, manifest, onProgress, signal } = options;
  const totalBytes = manifest.files.reduce((sum, file) => sum + file.size, 0);
  const folders = new Set([...manifest.files, ...manifest.links].map((entry) => dirname(join(to, entry.path))));
  for (const folder of folders) await makeDirectory(folder, 0o755);
  let doneBytes = 0;
  for (const file of manifest.files) {
    signal?.throwIfAborted();
    const wasCopied = await installFile(from, to, file);
    doneBytes += file.size;
    if (wasCopied) onProgress?.(doneBytes, totalBytes);
  }
  for (const { path, target } of manifest.links) await symlink(target, join(to, path));
}

/** True when it had to be copied. */
async function installFile(from: string, to: string, file: ManifestFile): Promise<boolean> {
  const source = join(from, file.path);
  const target = join(to, file.path);
  const mode = await stat(source).then(
    (found) => found.mode & 0o777,
    () => undefined,
  );
  if (mode !== file.mode || !(await linkFile(source, target))) {
    await copyVerified({ source, target, folder: from, file });
    return true;
  }
  await verifyFile(from, file);
  return false;
}

/** False where a hard link cannot be made: another file system, one without links, or too many of them. */
async function linkFile(source: string, target: string): Promise<boolean> {
  try {
    await link(source, target);
    return true;
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "EXDEV" || code === "EPERM" || code === "EMLINK" || code === "EOPNOTSUPP") return false;
    throw error;
  }
}

interface Copy {
  readonly source: string;
  readonly target: string;
  readonly folder: string;
  readonly file: ManifestFile;
}

async function copyVerified({ source, target, folder, file }: Copy): Promise<void> {
  const hash = createHash("sha256");
  const tap = async function* (chunks: AsyncIterable<Buffer>) {
    for await (const chunk of chunks) {
      hash.update(chunk);
      yield chunk;
    }
  };
  try {
    await pipeline(
      createReadStream(source, { highWaterMark: 1 << 20 }),
      tap,
      createWriteStream(target, { mode: 0o600 }),
    );
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT")
      throw ComponentError.missing([file.path], folder);
    throw error;
  }
  if (hash.digest("hex") !== file.sha256)
    throw ComponentError.checksum({ path: source, keptAs: await setAside(source) });
  await chmod(target, file.mode);
  await utimes(target, file.mtimeMs / 1000, file.mtimeMs / 1000);
}
