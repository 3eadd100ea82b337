import { stat } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { repeat, retry } from "@k3s/async";
import { ensureDirectory } from "@k3s/files";
import type { Component, StartContext } from "@k3s/lifecycle";
import type { Logger } from "@k3s/log";
import { ArchiveFolder } from "./archive-folder.ts";
import { ArchiveNames } from "./archive-names.ts";
import { archivePacking, openArchive } from "./archive-stream.ts";
import { NodeRuntimeError } from "./errors.ts";
import { ImageStore } from "./image-store.ts";
import { ImportCache } from "./import-cache.ts";
import { nodePaths, type NodeRuntimeOptions } from "./node-runtime-options.ts";

const PROGRESS_MS = 5_000;
/** containerd may be restarted at any moment: what it refuses then is asked again. */
const RETRY = { delayMinMs: 200, delayMaxMs: 5_000 } as const;

/** Brings the images of all archives into containerd: those of the component set, then the user's folder, which is watched. */
export class ImageImport implements Component {
  readonly name = "image-import";
  readonly #folders: readonly ArchiveFolder[];
  readonly #userFolder: ArchiveFolder;
  readonly #userPath: string;
  readonly #path: string;
  readonly #log: Logger;
  readonly #store: ImageStore;
  readonly #cache: ImportCache;
  readonly #stopping = new AbortController();
  #watching: Promise<void> = Promise.resolve();

  /** `rescanMs`: between two looks at the user's folder without an event. */
  constructor(
    options: Pick<NodeRuntimeOptions, "set" | "log" | "path" | "settings" | "agentDirectory" | "stateDirectory">,
    rescanMs?: number,
  ) {
    const paths = nodePaths(options);
    const log = options.log.child({ component: this.name });
    this.#log = log;
    this.#path = options.path;
    this.#userPath = paths.images;
    this.#userFolder = new ArchiveFolder({ path: paths.images, log, ...(rescanMs === undefined ? {} : { rescanMs }) });
    this.#folders = [new ArchiveFolder({ path: options.set.imagesDir, log }), this.#userFolder];
    this.#cache = new ImportCache(paths.images);
    this.#store = new ImageStore({
      ctr: options.set.path("ctr"),
      socket: paths.containerdSocket,
      snapshotter: options.settings.snapshotter,
    });
  }

  async prepare(): Promise<void> {
    await ensureDirectory(this.#userPath, 0o755);
  }

  /** Resolves once every archive was imported or has failed; a broken archive is an error in the log, not our end. */
  async start({ signal: starting }: StartContext): Promise<void> {
    const signal = AbortSignal.any([starting, this.#stopping.signal]);
    const wasPinned = await this.#answered(() => this.#store.pinned(signal), signal);
    await this.#cache.load();
    const imported: (readonly string[] | undefined)[] = [];
    for (const folder of this.#folders)
      for (const archive of await folder.changed()) imported.push(await this.#importLogged(archive, signal));
    // What an archive that has failed would keep is not known: then everything stays.
    const isComplete = imported.every((names) => names !== undefined);
    if (isComplete) await this.#unpinOthers(wasPinned, new Set(imported.flat()), signal);
    this.#watching = this.#watch(this.#stopping.signal);
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error("it is being stopped"));
    await this.#watching;
  }

  /** The images that the archives have brought earlier and do not bring now; one that is gone is no loss. */
  async #unpinOthers(wasPinned: readonly string[], kept: ReadonlySet<string>, signal: AbortSignal): Promise<void> {
    for (const name of wasPinned.filter((image) => !kept.has(image)))
      try {
        await this.#answered(() => this.#store.unpin(name, signal), signal);
      } catch (error) {
        signal.throwIfAborted();
        this.#log.warn({ image: name, error }, "image could not be given up");
      }
  }

  /** Asks again while containerd is away. */
  async #answered<T>(ask: () => Promise<T>, signal: AbortSignal): Promise<T> {
    const onRetry = (error: unknown, attempt: number) => {
      if (attempt === 1) this.#log.warn({ error }, "containerd does not answer; asking again");
    };
    return await retry(ask, { ...RETRY, onRetry, isRetryable: (error) => !isUnknownImage(error) }, signal);
  }

  /** The names of the archive's images; undefined when they could not be imported. */
  async #importLogged(archive: string, signal: AbortSignal): Promise<readonly string[] | undefined> {
    try {
      return await this.#importArchive(archive, signal).catch(async (error: unknown) => {
        if (await this.#isThere(signal)) throw error;
        await this.#answered(() => this.#store.pinned(signal), signal);
        return await this.#importArchive(archive, signal);
      });
    } catch (error) {
      signal.throwIfAborted();
      const hint = error instanceof NodeRuntimeError ? error.hint : undefined;
      this.#log.error({ archive, error, hint }, "image archive could not be imported");
      return undefined;
    }
  }

  async #isThere(signal: AbortSignal): Promise<boolean> {
    return await this.#store.pinned(signal).then(
      () => true,
      () => false,
    );
  }

  /** The names of the archive's images, all of them pinned. */
  async #importArchive(archive: string, signal: AbortSignal): Promise<readonly string[]> {
    const cached = await this.#cache.images(archive);
    if (cached !== undefined && (await this.#hasAll(cached, signal))) {
      this.#log.debug({ archive }, "image archive is unchanged");
      return cached;
    }
    const startedAt = performance.now();
    const names = await this.#copyIn(archive, signal);
    const pinned = await this.#pin(names, signal);
    await this.#cache.remember(archive, pinned);
    const durationMs = Math.round(performance.now() - startedAt);
    this.#log.info({ archive, images: names, durationMs }, "image archive imported");
    return pinned;
  }

  async #copyIn(archive: string, signal: AbortSignal): Promise<readonly string[]> {
    const packing = archivePacking(archive);
    if (packing === undefined) return [];
    const { size } = await stat(archive);
    const opened = openArchive(archive, packing, this.#path);
    const names = new ArchiveNames();
    const done = new AbortController();
    const report = () => {
      const percent = Math.floor((100 * opened.bytesRead()) / Math.max(size, 1));
      this.#log.info({ archive, bytes: size, percent }, "importing image archive");
    };
    const progress = repeat(PROGRESS_MS, report, done.signal);
    try {
      await Promise.all([pipeline(opened.tar, names, { signal }), this.#store.import(names, signal)]);
    } catch (error) {
      signal.throwIfAborted();
      throw error instanceof NodeRuntimeError ? error : NodeRuntimeError.imageImport(archive, error);
    } finally {
      done.abort();
      await progress;
    }
    return names.names();
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

  async #watch(signal: AbortSignal): Promise<void> {
    const take = async (archives: readonly string[]) => {
      for (const archive of archives) await this.#importLogged(archive, signal);
    };
    await this.#userFolder.follow(take, signal);
  }
}

/** ctr's answer about a name that is not, or not any more, in the store. */
function isUnknownImage(error: unknown): boolean {
  return error instanceof Error && /not found/.test(error.message);
}
