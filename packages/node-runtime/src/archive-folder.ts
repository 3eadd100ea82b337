import { readdir, watch } from "node:fs/promises";
import { join } from "node:path";
import { deadline, Latest, sleep } from "@k3s/async";
import type { Logger } from "@k3s/log";
import { archiveState, isSameState, type ArchiveState } from "./archive-state.ts";
import { archivePacking } from "./archive-stream.ts";
import { isImageList } from "./image-list.ts";

/** A copy into the folder raises many events; it is looked at when it has been quiet for this long (k3s). */
const QUIET_MS = 2_000;
/** What the kernel does not tell of: no watch left, or the folder was removed and made anew. */
const RESCAN_MS = 15_000;

interface ArchiveFolderOptions {
  readonly path: string;
  readonly log: Logger;
  /** Between two looks without an event. */
  readonly rescanMs?: number;
}

/** A folder into which image archives and lists of images are put at any time, also into folders below it. */
export class ArchiveFolder {
  readonly #path: string;
  readonly #log: Logger;
  readonly #rescanMs: number;
  readonly #events = new Latest(0);
  /** The state of each file when it was last handed out. */
  #known = new Map<string, ArchiveState>();

  constructor({ path, log, rescanMs = RESCAN_MS }: ArchiveFolderOptions) {
    this.#path = path;
    this.#log = log;
    this.#rescanMs = rescanMs;
  }

  /**
   * Files that came or changed since the last call, in the order of their paths: at first all. Those written to less
   * than `settledMs` ago are left for a later call. No folder is an empty one.
   */
  async changed(settledMs = 0): Promise<string[]> {
    const names = (await filesBelow(this.#path)).sort();
    const known = new Map<string, ArchiveState>();
    const changed: string[] = [];
    for (const path of names.filter(isImageFile)) {
      const now = await archiveState(path).catch(() => undefined);
      if (now === undefined) continue;
      const before = this.#known.get(path);
      const isSame = before !== undefined && isSameState(before, now);
      const isSettled = Math.abs(Date.now() - Date.parse(now.modTime)) >= settledMs;
      if (!isSame && isSettled) changed.push(path);
      if (isSame || isSettled) known.set(path, now);
    }
    this.#known = known;
    return changed;
  }

  /** Hands files that change to `take`, soon where the kernel tells of changes, else at intervals. Resolves when `signal` aborts. */
  async follow(take: (files: readonly string[]) => Promise<void>, signal: AbortSignal): Promise<void> {
    const watching = this.#watch(signal);
    while (!signal.aborted)
      try {
        const isTold = await this.#untilEvent(signal);
        await take(await this.changed(isTold ? 0 : QUIET_MS));
      } catch (error) {
        if (!signal.aborted) this.#log.warn({ folder: this.#path, error }, "image folder could not be read");
      }
    await watching;
  }

  /** True after an event and the quiet that follows it, false after an interval without one. */
  async #untilEvent(signal: AbortSignal): Promise<boolean> {
    let seen = this.#events.get();
    using pause = deadline(this.#rescanMs, "an event", signal);
    const isTold = await this.#events
      .until((count) => count !== seen, pause)
      .then(
        () => true,
        () => false,
      );
    signal.throwIfAborted();
    while (seen !== this.#events.get()) {
      seen = this.#events.get();
      await sleep(QUIET_MS, signal);
    }
    return isTold;
  }

  async #watch(signal: AbortSignal): Promise<void> {
    try {
      for await (const { filename } of watch(this.#path, { recursive: true, signal }))
        if (filename !== null && isImageFile(filename)) this.#events.set(this.#events.get() + 1);
    } catch (error) {
      if (signal.aborted) return;
      const cure = "if watches have run out, raise the sysctl fs.inotify.max_user_watches";
      const effect = `it is looked at every ${this.#rescanMs / 1000} s instead`;
      this.#log.warn({ folder: this.#path, error, effect, cure }, "image folder cannot be watched");
    }
  }
}

function isImageFile(path: string): boolean {
  return archivePacking(path) !== undefined || isImageList(path);
}

async function filesBelow(folder: string): Promise<string[]> {
  const names = await readdir(folder, { recursive: true }).catch((error: unknown) => {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
    throw error;
  });
  return names.map((name) => join(folder, name));
}
