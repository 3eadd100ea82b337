import { retry } from "@k3s/async";
import { describeError, NodeError } from "@k3s/errors";
import type { Logger } from "@k3s/log";
import { archiveState, type ArchiveState } from "./archive-state.ts";
import type { ImageStore } from "./image-store.ts";
import { importArchive } from "./import-archive.ts";
import type { ImportCache } from "./import-cache.ts";

/** containerd may be restarted at any moment: what it refuses then is asked again. */
const RETRY = { delayMinMs: 200, delayMaxMs: 5_000 } as const;

const COLLISION_RETRY = { delayMinMs: 50, delayMaxMs: 500 } as const;
/** As many as there can be imports beside this one, and some more. */
const COLLISIONS_MAX = 8;

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

/** Brings the images of single archives into containerd and pins them. */
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

  /** Never rejects for the archive's sake: what is wrong with it is logged. Rejects with the reason of `signal`. */
  async import(archive: string, signal: AbortSignal): Promise<ImportedArchive> {
    try {
      return await this.#importUnlessCollision(archive, signal).catch(async (error: unknown) => {
        if (await this.#isThere(signal)) throw error;
        await this.answered(() => this.#store.pinned(signal), signal);
        return await this.#importOnce(archive, signal);
      });
    } catch (error) {
      signal.throwIfAborted();
      const { code, hint } = error instanceof NodeError ? error : {};
      this.#log.error({ archive, error, code, hint }, "image archive could not be imported");
      return { outcome: "failed", names: [] };
    }
  }

  /** Asks again while containerd is away. */
  async answered<T>(ask: () => Promise<T>, signal: AbortSignal): Promise<T> {
    const onRetry = (error: unknown, attempt: number) => {
      if (attempt === 1) this.#log.warn({ error }, "containerd does not answer; asking again");
    };
    return await retry(ask, { ...RETRY, onRetry, isRetryable: (error) => !isUnknownImage(error) }, signal);
  }

  /** Two archives with the same image, at the same time: one of them finds that the other has just made its name. */
  async #importUnlessCollision(archive: string, signal: AbortSignal): Promise<ImportedArchive> {
    let collisions = 0;
    const isRetryable = (error: unknown) => isCollision(error) && ++collisions <= COLLISIONS_MAX;
    return await retry(() => this.#importOnce(archive, signal), { ...COLLISION_RETRY, isRetryable }, signal);
  }

  async #isThere(signal: AbortSignal): Promise<boolean> {
    return await this.#store.pinned(signal).then(
      () => true,
      () => false,
    );
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
    const pinned = await this.#pin(names, signal);
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

  /** Pins the images under their name and under `<repository>@<digest>`; returns all of these names. */
  async #pin(names: readonly string[], signal: AbortSignal): Promise<string[]> {
    const stored = new Map((await this.#store.list(signal)).map(({ name, digest }) => [name, digest]));
    const pinned: string[] = [];
    for (const name of names) {
      const digest = stored.get(name);
      if (digest === undefined) continue;
      const alias = `${name.replace(/(@[^/]*|:[^/:]*)$/, "")}@${digest}`;
      await this.#store.pin(name, signal);
      if (alias !== name) await this.#store.tag(name, alias, signal);
      await this.#store.pin(alias, signal);
      pinned.push(name, alias);
    }
    return pinned;
  }

  async #hasAll(names: readonly string[], signal: AbortSignal): Promise<boolean> {
    const stored = new Set((await this.#store.list(signal)).map(({ name }) => name));
    return names.every((name) => stored.has(name));
  }
}

/** ctr's answer when another import was faster between its look for a name and its making it. */
function isCollision(error: unknown): boolean {
  return /already exists/.test(describeError(error));
}

/** ctr's answer about a name that is not, or not any more, in the store. */
function isUnknownImage(error: unknown): boolean {
  return error instanceof Error && /not found/.test(error.message);
}
