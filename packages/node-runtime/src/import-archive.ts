import { stat } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { repeat } from "@k3s/async";
import { ArchiveNames } from "./archive-names.ts";
import { archivePacking, openArchive } from "./archive-stream.ts";
import { NodeRuntimeError } from "./errors.ts";
import type { ImageStore } from "./image-store.ts";

const PROGRESS_MS = 5_000;

interface ImportArchiveOptions {
  readonly store: ImageStore;
  /** Search path for programs that unpack. */
  readonly path: string;
  readonly signal: AbortSignal;
  /** Every few seconds: size of the file, and how much of it was read. */
  readonly onProgress?: (bytes: number, percent: number) => void;
}

/**
 * Brings the images of an archive into containerd and returns their names. Rejects with NodeRuntimeError when the archive
 * is damaged, cannot be unpacked, or is refused.
 */
export async function importArchive(archive: string, options: ImportArchiveOptions): Promise<readonly string[]> {
  const { store, path, signal, onProgress } = options;
  const packing = archivePacking(archive);
  if (packing === undefined) return [];
  const { size } = await stat(archive);
  const opened = openArchive(archive, packing, path);
  const names = new ArchiveNames();
  const done = new AbortController();
  const report = () => onProgress?.(size, Math.floor((100 * opened.bytesRead()) / Math.max(size, 1)));
  const progress = repeat(PROGRESS_MS, report, done.signal);
  try {
    await Promise.all([pipeline(opened.tar, names, { signal }), store.import(names, signal)]);
    return names.names();
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof NodeRuntimeError) throw error;
    // The first to fail may be the one that was fed: what could not be read or unpacked is the reason.
    const damage = await opened.giveUp();
    if (damage instanceof NodeRuntimeError) throw damage;
    throw damage === undefined
      ? NodeRuntimeError.imageImport(archive, error)
      : NodeRuntimeError.imageDamaged(archive, damage);
  } finally {
    done.abort();
    await progress;
  }
}
