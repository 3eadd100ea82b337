import { stat } from "node:fs/promises";
import { join } from "node:path";
import { readIfExists, writeFileAtomic } from "@k3s/files";

/** What is remembered of an archive that was imported; names of the fields as in k3s. */
interface CachedArchive {
  readonly size: number;
  readonly modTime: string;
  readonly images: readonly string[];
}

/** Kept beside the archives; only when the user has made the file (k3s). */
export class ImportCache {
  readonly #path: string;
  #entries: Map<string, CachedArchive> | undefined;

  constructor(directory: string) {
    this.#path = join(directory, ".cache.json");
  }

  /** Reads the file. One that cannot be understood counts as empty: everything is imported once more. */
  async load(): Promise<void> {
    const text = await readIfExists(this.#path);
    this.#entries = text === undefined ? undefined : parseCache(text.toString());
  }

  /** The images that the unchanged archive brought when it was imported. */
  async images(archive: string): Promise<readonly string[] | undefined> {
    const known = this.#entries?.get(archive);
    if (known === undefined) return undefined;
    const { size, mtime } = await stat(archive);
    return known.size === size && known.modTime === mtime.toISOString() ? known.images : undefined;
  }

  async remember(archive: string, images: readonly string[]): Promise<void> {
    if (this.#entries === undefined) return;
    const { size, mtime } = await stat(archive);
    this.#entries.set(archive, { size, modTime: mtime.toISOString(), images });
    const content = `${JSON.stringify(Object.fromEntries(this.#entries), undefined, 2)}\n`;
    await writeFileAtomic(this.#path, content, { mode: 0o644 });
  }
}

function parseCache(text: string): Map<string, CachedArchive> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null) return new Map();
    const entries = Object.entries(value).flatMap(([path, entry]: [string, unknown]) =>
      isCachedArchive(entry) ? [[path, entry] as const] : [],
    );
    return new Map(entries);
  } catch {
    return new Map();
  }
}

function isCachedArchive(value: unknown): value is CachedArchive {
  if (typeof value !== "object" || value === null) return false;
  const { size, modTime, images } = value as Partial<Record<keyof CachedArchive, unknown>>; // checked field by field
  return typeof size === "number" && typeof modTime === "string" && Array.isArray(images);
}
