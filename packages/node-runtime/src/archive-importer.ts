import { retry } from "@k3s/async";
import { NodeError } from "@k3s/errors";
import type { Logger } from "@k3s/log";
import { archiveState, type ArchiveState } from "./archive-state.ts";
import { isRefusedImport } from "./errors.ts";
import type { ImageStore } from "./image-store.ts";
import { importArchive } from "./import-archive.ts";
import type { ImportCache } from "./import-cache.ts";
import { inParallel } from "./in-parallel.ts";
import { pinImages } from "./pin-images.ts";

/** containerd may be restarted at any moment: what it refuses then is asked again. */
const RETRY = { delayMinMs: 200, delayMaxMs: 5_000 } as const;

/** Archives at a time: one unpacks here while containerd writes another to the disk; more only compete. */
const AT_ONCE = 4;

export interface ArchiveImporterOptions {
  readonly store: ImageStore;
  readonly cache: ImportCache;
  readonly log: Logger;
  /** Search path for programs that unpack. */
  readonly path: string;
}

/** How the import of one archive ended. */
export interface ImportedArchive {
  readonly outcome: "imported" | "unchanged" | "failed";
  /** Names of its images, all of them pinned; what a failed archive would have brought is not known. */
  readonly names: readonly string[];
}

/** Brings the images of archives into containerd and pins them. */
export class ArchiveImporter {
  readonly #store: ImageStore;
  readonly #cache: ImportCache;
  readonly #log: Logger;
  readonly #path: string;

  constructor({ store, cache, log, path }: ArchiveImporterOptions) {
    this.#store = store;
    this.#cache = cache;
    this.#log = log;
    this.#path = path;
  }

  /**
   * Says of each how it ended, in their order. Never rejects for an archive's sake: what is wrong with it is logged. Rejects
   * with the reason of `signal`. Only one call at a time.
   */
  async importAll(archives: readonly string[], signal: AbortSignal): Promise<ImportedArchive[]> {
    const attempts = await inParallel(archives, AT_ONCE, async (archive) => ({
      archive,
      ended: await this.#importBesideOthers(archive, signal),
    }));
    const all: ImportedArchive[] = [];
    for (const { archive, ended } of attempts) all.push(ended ?? (await this.#importAlone(archive, signal)));
    return all;
  }

  /** Asks again while containerd is away. */
  async answered<T>(ask: () => Promise<T>, signal: AbortSignal): Promise<T> {
    const onRetry = (error: unknown, attempt: number) => {
      if (attempt === 1) this.#log.warn({ error }, "containerd does not answer; asking again");
    };
    return await retry(ask, { ...RETRY, onRetry, isRetryable: (error) => !isUnknownImage(error) }, signal);
  }

  /**
   * Undefined when containerd has refused it and may take it when asked again: it was away, another import was faster to
   * make the same name, or one that broke off has left half of a file of the same name, on which this one built.
   */
  async #importBesideOthers(archive: string, signal: AbortSignal): Promise<ImportedArchive | undefined> {
    try {
      return await this.#importOnce(archive, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (!isRefusedImport(error)) return this.#fail(archive, error);
      this.#log.debug({ archive, error }, "image archive was refused; it is imported again, alone");
      return undefined;
    }
  }

  async #importAlone(archive: string, signal: AbortSignal): Promise<ImportedArchive> {
    try {
      await this.answered(() => this.#store.pinned(signal), signal);
      await this.#dropUnfinished(signal);
      return await this.#importOnce(archive, signal);
    } catch (error) {
      signal.throwIfAborted();
      return this.#fail(archive, error);
    }
  }

  async #dropUnfinished(signal: AbortSignal): Promise<void> {
    try {
      await this.#store.dropUnfinished(signal);
    } catch (error) {
      signal.throwIfAborted();
      this.#log.warn({ error }, "what broken imports have left could not be dropped");
    }
  }

  #fail(archive: string, error: unknown): ImportedArchive {
    const { code, hint } = error instanceof NodeError ? error : {};
    this.#log.error({ archive, error, code, hint }, "image archive could not be imported");
    return { outcome: "failed", names: [] };
  }

  async #importOnce(archive: string, signal: AbortSignal): Promise<ImportedArchive> {
    // Read before the content: a file that is written to meanwhile counts as changed.
    const state = await archiveState(archive);
    if (state === undefined) return { outcome: "unchanged", names: [] };
    const remembered = this.#cache.images(archive, state);
    if (remembered !== undefined && (await this.#hasAll(remembered, signal))) {
      this.#log.debug({ archive }, "image archive is unchanged");
      return { outcome: "unchanged", names: remembered };
    }
    const startedAt = performance.now();
    const names = await importArchive(archive, {
      ...{ store: this.#store, path: this.#path, signal },
      onProgress: (bytes, percent) => this.#log.info({ archive, bytes, percent }, "importing image archive"),
    });
    const pinned = await pinImages(this.#store, names, signal);
    const durationMs = Math.round(performance.now() - startedAt);
    this.#log.info({ archive, images: names, durationMs }, "image archive imported");
    if (names.length === 0) {
      const cure = "save the images by name, as in: docker save NAME:TAG";
      this.#log.warn({ archive, cure }, "image archive names no image: no pod can ask for what it holds");
    }
    await this.#remember(archive, state, pinned);
    return { outcome: "imported", names: pinned };
  }

  async #remember(archive: string, state: ArchiveState, images: readonly string[]): Promise<void> {
    try {
      await this.#cache.remember(archive, { ...state, images });
    } catch (error) {
      const effect = "the archive is imported again at the next start";
      this.#log.warn({ archive, error, effect }, "import could not be remembered");
    }
  }

  async #hasAll(names: readonly string[], signal: AbortSignal): Promise<boolean> {
    const stored = new Set((await this.#store.list(signal)).map(({ name }) => name));
    return names.every((name) => stored.has(name));
  }
}

/** ctr's answer about a name that is not, or not any more, in the store. */
function isUnknownImage(error: unknown): boolean {
  return error instanceof Error && /not found/.test(error.message);
}
