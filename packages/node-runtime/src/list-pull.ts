import { retry } from "@k3s/async";
import { NodeError } from "@k3s/errors";
import type { Logger } from "@k3s/log";
import { NodeRuntimeError } from "./errors.ts";
import { readImageList } from "./image-list.ts";
import type { ImageStore } from "./image-store.ts";
import { inParallel } from "./in-parallel.ts";
import { pinImages } from "./pin-images.ts";
import { pullImage } from "./pull-image.ts";

/** A registry that is away now may be there soon; one that stays away costs a few requests an hour. */
const RETRY = { delayMinMs: 5_000, delayMaxMs: 10 * 60_000 } as const;
/** What pods need meanwhile is not to wait for all of a list. */
const AT_ONCE = 2;

export interface ListPullOptions {
  readonly store: ImageStore;
  /** Where containerd listens. */
  readonly socket: string;
  readonly log: Logger;
  /** Before what has failed is tried again for the first time. */
  readonly retryMs?: number;
}

/** The work on one list of references, until all its images are there. */
export class ListPull {
  readonly #list: string;
  readonly #options: ListPullOptions;
  readonly #log: Logger;
  /** What was said of this list already. */
  readonly #said = new Set<string>();

  constructor(list: string, options: ListPullOptions) {
    this.#list = list;
    this.#options = options;
    this.#log = options.log;
  }

  /** Resolves when every image is there and pinned, or `signal` has aborted. Never rejects: what is wrong is logged, once. */
  async run(signal: AbortSignal): Promise<void> {
    const { retryMs = RETRY.delayMinMs } = this.#options;
    const policy = { ...RETRY, delayMinMs: retryMs, onRetry: (error: unknown) => this.#say(error) };
    await retry(() => this.#pullMissing(signal), policy, signal).catch(() => undefined);
  }

  /** Rejects with one of the failures when an image could not be had. A list that is gone names none. */
  async #pullMissing(signal: AbortSignal): Promise<void> {
    const { references, wrong } = await readImageList(this.#list);
    for (const { line, text } of wrong) this.#say(NodeRuntimeError.imageReference(this.#list, line, text));
    const stored = new Set((await this.#options.store.list(signal)).map(({ name }) => name));
    const failures = await inParallel(references, AT_ONCE, async (reference) => {
      try {
        await this.#provide(reference, stored.has(reference), signal);
        return undefined;
      } catch (error) {
        signal.throwIfAborted();
        this.#say(error);
        return { error };
      }
    });
    const failure = failures.find((found) => found !== undefined);
    if (failure !== undefined) throw failure.error;
    if (references.length > 0)
      this.#log.info({ list: this.#list, images: references.length }, "images of the list are there");
  }

  async #provide(image: string, isThere: boolean, signal: AbortSignal): Promise<void> {
    const { store, socket } = this.#options;
    const startedAt = performance.now();
    if (!isThere) {
      this.#log.info({ list: this.#list, image }, "pulling image");
      await pullImage(socket, image, signal);
    }
    await pinImages(store, [image], signal);
    const durationMs = Math.round(performance.now() - startedAt);
    if (!isThere) this.#log.info({ list: this.#list, image, durationMs }, "image pulled");
  }

  #say(error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    if (this.#said.has(message)) return;
    this.#said.add(message);
    const { code, hint } = error instanceof NodeError ? error : {};
    this.#log.warn({ list: this.#list, error, code, hint }, "list of images could not be served whole");
  }
}
