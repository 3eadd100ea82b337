import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { rename, stat } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { ComponentError } from "./errors.ts";
import type { ManifestFile } from "./manifest.ts";

const CHUNK_BYTES = 1 << 20;

/** SHA-256 of a file as hex. */
export async function hashFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path, { highWaterMark: CHUNK_BYTES }), hash);
  return hash.digest("hex");
}

/**
 * Makes sure that the file below `folder` is the recorded one. Size and time as recorded are enough; else its content decides.
 * A file with another content is renamed to `<file>.bad-<time>` and rejected with ERR_COMPONENT_CHECKSUM.
 */
export async function verifyFile(folder: string, file: ManifestFile): Promise<void> {
  const path = join(folder, file.path);
  const found = await stat(path).catch(absentAsUndefined);
  if (found === undefined) throw ComponentError.missing([file.path], folder);
  if (found.size === file.size && sameTime(found.mtimeMs, file.mtimeMs)) return;
  if (found.size === file.size && (await hashFile(path)) === file.sha256) return;
  throw ComponentError.checksum({ path, keptAs: await setAside(path) });
}

/** Verifies every file; one after the other, since the disk is the limit. */
export async function verifyFiles(folder: string, files: readonly ManifestFile[]): Promise<void> {
  for (const file of files) await verifyFile(folder, file);
}

/** Renames a bad file so that nobody uses it and somebody can look at it; returns the new path (or the old on a read-only disk). */
export async function setAside(path: string): Promise<string> {
  const kept = `${path}.bad-${new Date().toISOString().replace(/[:.]/g, "-")}`;
  try {
    await rename(path, kept);
    return kept;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EROFS") return path;
    throw error;
  }
}

/** Whether two modification times are the same; file systems keep at least microseconds of the same double. */
export function sameTime(a: number, b: number): boolean {
  return Math.abs(a - b) < 0.01;
}

/** For `.catch()`: turns "no such file" into undefined. */
export function absentAsUndefined(error: unknown): undefined {
  if (error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR")) return;
  throw error;
}
