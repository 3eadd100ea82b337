import { ensureDirectory } from "@k3s/files";
import type { Component, StartContext } from "@k3s/lifecycle";
import type { Logger } from "@k3s/log";
import { ArchiveFolder } from "./archive-folder.ts";
import { ArchiveImporter, type ImportedArchive } from "./archive-importer.ts";
import { ImageStore } from "./image-store.ts";
import { ImportCache } from "./import-cache.ts";
import { nodePaths, type NodeRuntimeOptions } from "./node-runtime-options.ts";

/** Brings the images of all archives into containerd: those of the component set, then the user's folder, which is watched. */
export class ImageImport implements Component {
  readonly name = "image-import";
  readonly #folders: readonly ArchiveFolder[];
  readonly #userFolder: ArchiveFolder;
  readonly #userPath: string;
  readonly #log: Logger;
  readonly #store: ImageStore;
  readonly #cache: ImportCache;
  readonly #importer: ArchiveImporter;
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
    this.#userPath = paths.images;
    this.#userFolder = new ArchiveFolder({ path: paths.images, log, ...(rescanMs === undefined ? {} : { rescanMs }) });
    this.#folders = [new ArchiveFolder({ path: options.set.imagesDir, log }), this.#userFolder];
    this.#cache = new ImportCache(paths.images);
    this.#store = new ImageStore({
      ctr: options.set.path("ctr"),
      socket: paths.containerdSocket,
      snapshotter: options.settings.snapshotter,
    });
    this.#importer = new ArchiveImporter({ store: this.#store, cache: this.#cache, log, path: options.path });
  }

  async prepare(): Promise<void> {
    await ensureDirectory(this.#userPath, 0o755);
  }

  /** Resolves once every archive was imported or has failed; a broken archive is an error in the log, not our end. */
  async start({ signal: starting }: StartContext): Promise<void> {
    const signal = AbortSignal.any([starting, this.#stopping.signal]);
    const startedAt = performance.now();
    const wasPinned = await this.#importer.answered(() => this.#store.pinned(signal), signal);
    await this.#cache.load();
    const archives: string[] = [];
    for (const folder of this.#folders) archives.push(...(await folder.changed()));
    const imported = await this.#importAll(archives, signal);
    this.#sayOutcome(imported, Math.round(performance.now() - startedAt));
    // What an archive that has failed would keep is not known: then everything stays.
    const isComplete = imported.every(({ outcome }) => outcome !== "failed");
    if (isComplete) await this.#unpinOthers(wasPinned, new Set(imported.flatMap(({ names }) => names)), signal);
    if (isComplete) await this.#forgetOthers(archives);
    this.#watching = this.#watch(this.#stopping.signal);
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error("it is being stopped"));
    await this.#watching;
  }

  async #importAll(archives: readonly string[], signal: AbortSignal): Promise<ImportedArchive[]> {
    return await this.#importer.importAll(archives, signal);
  }

  #sayOutcome(imported: readonly ImportedArchive[], durationMs: number): void {
    const count = (wanted: ImportedArchive["outcome"]) => imported.filter(({ outcome }) => outcome === wanted).length;
    const counts = { imported: count("imported"), unchanged: count("unchanged"), failed: count("failed") };
    if (imported.length > 0) this.#log.info({ ...counts, durationMs }, "image archives were gone through");
  }

  /** The images that the archives have brought earlier and do not bring now; one that is gone is no loss. */
  async #unpinOthers(wasPinned: readonly string[], kept: ReadonlySet<string>, signal: AbortSignal): Promise<void> {
    for (const name of wasPinned.filter((image) => !kept.has(image)))
      try {
        await this.#importer.answered(() => this.#store.unpin(name, signal), signal);
      } catch (error) {
        signal.throwIfAborted();
        this.#log.warn({ image: name, error }, "image could not be given up");
      }
  }

  async #forgetOthers(archives: readonly string[]): Promise<void> {
    try {
      await this.#cache.keepOnly(archives);
    } catch (error) {
      this.#log.debug({ error }, "imports that are gone could not be forgotten");
    }
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const take = async (archives: readonly string[]) => {
      await this.#importAll(archives, signal);
    };
    await this.#userFolder.follow(take, signal);
  }
}
