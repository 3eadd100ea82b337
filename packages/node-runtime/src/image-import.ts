import { ensureDirectory } from "@k3s/files";
import type { Component, StartContext } from "@k3s/lifecycle";
import type { Logger } from "@k3s/log";
import { ArchiveFolder } from "./archive-folder.ts";
import { ArchiveImporter, type ImportedArchive } from "./archive-importer.ts";
import { isImageList } from "./image-list.ts";
import { ImageStore } from "./image-store.ts";
import { ImportCache } from "./import-cache.ts";
import { ListPuller } from "./list-puller.ts";
import { nodePaths, type NodeRuntimeOptions } from "./node-runtime-options.ts";

/** What the folders have now. */
interface Served {
  readonly imported: readonly ImportedArchive[];
  readonly archives: readonly string[];
  readonly lists: readonly string[];
}

interface Pauses {
  /** Between two looks at the user's folder without an event. */
  readonly rescanMs?: number;
  /** Before a pull that has failed is tried again for the first time. */
  readonly retryMs?: number;
}

/**
 * Brings the images of all archives into containerd: those of the component set, then the user's folder, which is watched.
 * What lists in that folder name is pulled in the background.
 */
export class ImageImport implements Component {
  readonly name = "image-import";
  readonly #folders: { readonly component: ArchiveFolder; readonly user: ArchiveFolder };
  readonly #userPath: string;
  readonly #log: Logger;
  readonly #store: ImageStore;
  readonly #cache: ImportCache;
  readonly #importer: ArchiveImporter;
  readonly #lists: ListPuller;
  readonly #stopping = new AbortController();
  #watching: Promise<void> = Promise.resolve();

  constructor(
    options: Pick<NodeRuntimeOptions, "set" | "log" | "path" | "settings" | "agentDirectory" | "stateDirectory">,
    { rescanMs, retryMs }: Pauses = {},
  ) {
    const paths = nodePaths(options);
    const log = options.log.child({ component: this.name });
    this.#log = log;
    this.#userPath = paths.images;
    this.#folders = {
      component: new ArchiveFolder({ path: options.set.imagesDir, log }),
      user: new ArchiveFolder({ path: paths.images, log, ...(rescanMs === undefined ? {} : { rescanMs }) }),
    };
    this.#cache = new ImportCache(paths.images);
    const socket = paths.containerdSocket;
    const { snapshotter } = options.settings;
    this.#store = new ImageStore({ ctr: options.set.path("ctr"), socket, snapshotter });
    this.#importer = new ArchiveImporter({ store: this.#store, cache: this.#cache, log, path: options.path });
    this.#lists = new ListPuller({ store: this.#store, socket, log, ...(retryMs === undefined ? {} : { retryMs }) });
  }

  async prepare(): Promise<void> {
    await ensureDirectory(this.#userPath, 0o755);
  }

  /**
   * Resolves once every archive was imported or has failed; a broken archive is an error in the log, not our end. Pulls have
   * only begun then: a node must start without its registries.
   */
  async start({ signal: starting }: StartContext): Promise<void> {
    const signal = AbortSignal.any([starting, this.#stopping.signal]);
    const startedAt = performance.now();
    const wasPinned = await this.#importer.answered(() => this.#store.pinned(signal), signal);
    await this.#cache.load();
    const ready = await this.#folders.component.changed();
    const files = await this.#folders.user.changed();
    const lists = files.filter(isImageList);
    const archives = [...ready, ...files].filter((file) => !isImageList(file));
    const imported = await this.#importer.importAll(archives, signal);
    this.#sayOutcome(imported, Math.round(performance.now() - startedAt));
    await this.#giveUpOthers(wasPinned, { imported, archives, lists }, signal);
    for (const list of lists) this.#lists.take(list);
    this.#watching = this.#watch(this.#stopping.signal);
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error("it is being stopped"));
    await this.#lists.stop();
    await this.#watching;
  }

  #sayOutcome(imported: readonly ImportedArchive[], durationMs: number): void {
    const count = (wanted: ImportedArchive["outcome"]) => imported.filter(({ outcome }) => outcome === wanted).length;
    const counts = { imported: count("imported"), unchanged: count("unchanged"), failed: count("failed") };
    if (imported.length > 0) this.#log.info({ ...counts, durationMs }, "image archives were gone through");
  }

  async #giveUpOthers(wasPinned: readonly string[], now: Served, signal: AbortSignal): Promise<void> {
    // What an archive that has failed would keep is not known: then everything stays.
    if (now.imported.some(({ outcome }) => outcome === "failed")) return;
    const listed = await this.#listed(now.lists, signal);
    if (listed === undefined) return;
    await this.#unpinOthers(wasPinned, new Set([...now.imported.flatMap(({ names }) => names), ...listed]), signal);
    await this.#forgetOthers(now.archives);
  }

  /** Names that lists keep; undefined when that is not known, which is logged as soon as the lists are served. */
  async #listed(lists: readonly string[], signal: AbortSignal): Promise<readonly string[] | undefined> {
    return await this.#lists.pinnedNames(lists, signal).catch(() => {
      signal.throwIfAborted();
      return undefined;
    });
  }

  /** The images that the files have brought earlier and do not bring now; one that is gone is no loss. */
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
    const take = async (files: readonly string[]) => {
      const archives = files.filter((file) => !isImageList(file));
      await this.#importer.importAll(archives, signal);
      for (const list of files.filter(isImageList)) this.#lists.take(list);
    };
    await this.#folders.user.follow(take, signal);
  }
}
