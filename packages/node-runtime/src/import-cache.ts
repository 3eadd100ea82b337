import { join } from "node:path";
import { readIfExists, writeFileAtomic } from "@k3s/files";
import { isSameState, type ArchiveState } from "./archive-state.ts";

/** What is remembered of an archive that was imported; the file and the names are those of k3s, which has no `changeTime`. */
interface CachedArchive extends ArchiveState {
  readonly images: readonly string[];
}

/** Remembers across starts what each archive has brought, in `.cache.json` beside the archives. */
export class ImportCache {
  readonly #path: string;
  #entries = new Map<string, CachedArchive>();
  #written: Promise<void> = Promise.resolve();

  constructor(directory: string) {
    this.#path = join(directory, ".cache.json");
  }

  /** Reads the file. One that is missing or cannot be understood counts as empty: everything is imported once more. */
  async load(): Promise<void> {
    const text = await readIfExists(this.#path);
    this.#entries = parseCache(text?.toString() ?? "");
  }

  /** The images that the archive brought when it was imported in this state. */
  images(archive: string, state: ArchiveState): readonly string[] | undefined {
    const known = this.#entries.get(archive);
    return known !== undefined && isSameState(known, state) ? known.images : undefined;
  }

  /** Rejects when the file cannot be written; until the end of this process the entry is known all the same. */
  async remember(archive: string, entry: CachedArchive): Promise<void> {
    this.#entries.set(archive, entry);
    await this.#write();
  }

  /** Forgets archives that are gone. */
  async keepOnly(archives: readonly string[]): Promise<void> {
    const gone = [...this.#entries.keys()].filter((path) => !archives.includes(path));
    for (const path of gone) this.#entries.delete(path);
    if (gone.length > 0) await this.#write();
  }

  /** One after the other: the last one written has everything. */
  async #write(): Promise<void> {
    this.#written = this.#written
      .catch(() => undefined)
      .then(async () => {
        const content = `${JSON.stringify(Object.fromEntries(this.#entries), undefined, 2)}\n`;
        await writeFileAtomic(this.#path, content, { mode: 0o644 });
      });
    await this.#written;
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
  const { size, modTime, changeTime, images } = value as Partial<Record<keyof CachedArchive, unknown>>; // checked field by field
  return (
    typeof size === "number" &&
    [modTime, changeTime].every((time) => typeof time === "string") &&
    Array.isArray(images) &&
    images.every((image) => typeof image === "string")
  );
}
