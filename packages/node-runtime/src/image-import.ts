import { readdir, stat, watch } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { repeat, sleep } from "@k3s/async";
import { ensureDirectory } from "@k3s/files";
import type { Component, StartContext } from "@k3s/lifecycle";
import type { Logger } from "@k3s/log";
import { ArchiveNames } from "./archive-names.ts";
import { archivePacking, openArchive } from "./archive-stream.ts";
import { NodeRuntimeError } from "./errors.ts";
import { ImageStore } from "./image-store.ts";
import { ImportCache } from "./import-cache.ts";
import { nodePaths, type NodeRuntimeOptions } from "./node-runtime-options.ts";

/** A copy into the folder raises many events; the archive is read when it has been quiet for this long (k3s). */
const QUIET_MS = 2_000;
const PROGRESS_MS = 5_000;

/** Brings the images of all archives into containerd: those of the component set, then the user's folder, which is watched. */
export class ImageImport implements Component {
  readonly name = "image-import";
  readonly #folders: readonly string[];
  readonly #userFolder: string;
  readonly #path: string;
  readonly #log: Logger;
  readonly #store: ImageStore;
  readonly #cache: ImportCache;
  readonly #stopping = new AbortController();
  #watching: Promise<void> = Promise.resolve();

  constructor(
    options: Pick<NodeRuntimeOptions, "set" | "log" | "path" | "settings" | "agentDirectory" | "stateDirectory">,
  ) {
    const paths = nodePaths(options);
    this.#userFolder = paths.images;
    this.#folders = [options.set.imagesDir, paths.images];
    this.#path = options.path;
    this.#log = options.log.child({ component: this.name });
    this.#cache = new ImportCache(paths.images);
    this.#store = new ImageStore({
      ctr: options.set.path("ctr"),
      socket: paths.containerdSocket,
      snapshotter: options.settings.snapshotter,
    });
  }

  async prepare(): Promise<void> {
    await ensureDirectory(this.#userFolder, 0o755);
  }

  /** Resolves once every archive was imported or has failed; a broken archive is an error in the log, not our end. */
  async start(context: StartContext): Promise<void> {
    const signal = AbortSignal.any([context.signal, this.#stopping.signal]);
    const wasPinned = await this.#store.pinned(signal);
    const kept = new Set<string>();
    await this.#cache.load();
    for (const folder of this.#folders)
      for (const archive of await findArchives(folder))
        for (const name of await this.#importLogged(archive, signal)) kept.add(name);
    for (const name of wasPinned) if (!kept.has(name)) await this.#store.unpin(name, signal);
    this.#watching = this.#watch(this.#stopping.signal).catch(context.lost);
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error("it is being stopped"));
    await this.#watching;
  }

  async #importLogged(archive: string, signal: AbortSignal): Promise<readonly string[]> {
    try {
      return await this.#importArchive(archive, signal);
    } catch (error) {
      signal.throwIfAborted();
      const hint = error instanceof NodeRuntimeError ? error.hint : undefined;
      this.#log.error({ archive, error, hint }, "image archive could not be imported");
      return [];
    }
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
    const changes: Changes = { archives: new Set(), lastMs: 0 };
    let importing: Promise<void> | undefined;
    try {
      for await (const { filename } of watch(this.#userFolder, { recursive: true, signal })) {
        if (filename === null || archivePacking(filename) === undefined) continue;
        changes.archives.add(join(this.#userFolder, filename));
        changes.lastMs = performance.now();
        importing ??= this.#importWhenQuiet(changes, signal).finally(() => {
          importing = undefined;
        });
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      await importing;
    }
  }

  async #importWhenQuiet(changes: Changes, signal: AbortSignal): Promise<void> {
    try {
      while (changes.archives.size > 0) {
        const quietMs = performance.now() - changes.lastMs;
        if (quietMs < QUIET_MS) await sleep(QUIET_MS - quietMs, signal);
        else await this.#importChanged(changes, signal);
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  async #importChanged({ archives }: Changes, signal: AbortSignal): Promise<void> {
    const now = [...archives].sort();
    archives.clear();
    for (const archive of now) if (await isFile(archive)) await this.#importLogged(archive, signal);
  }
}

/** Archives that have changed and wait to be imported. */
interface Changes {
  readonly archives: Set<string>;
  lastMs: number;
}

/** Archives below the folder in the order of their paths; nothing when there is no such folder. */
async function findArchives(folder: string): Promise<string[]> {
  const names = await readdir(folder, { recursive: true }).catch((error: unknown) => {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
    throw error;
  });
  const archives = names.filter((name) => archivePacking(name) !== undefined).sort();
  return archives.map((name) => join(folder, name));
}

async function isFile(path: string): Promise<boolean> {
  return await stat(path).then(
    (found) => found.isFile(),
    () => false,
  );
}
