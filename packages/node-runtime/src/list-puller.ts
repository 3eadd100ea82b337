import { readImageList } from "./image-list.ts";
import { ListPull, type ListPullOptions } from "./list-pull.ts";
import { pinnableNames } from "./pin-images.ts";

interface Run {
  readonly ending: AbortController;
  readonly done: Promise<void>;
}

/** Pulls and pins what lists of references name, in the background. */
export class ListPuller {
  readonly #options: ListPullOptions;
  readonly #stopping = new AbortController();
  readonly #runs = new Map<string, Run>();

  constructor(options: ListPullOptions) {
    this.#options = options;
  }

  /** Every name under which an image of these lists is or will be pinned. Rejects when a list cannot be read. */
  async pinnedNames(lists: readonly string[], signal: AbortSignal): Promise<string[]> {
    const references = (await Promise.all(lists.map(readImageList))).flatMap((list) => list.references);
    if (references.length === 0) return [];
    const names = await pinnableNames(this.#options.store, references, signal);
    return names.flatMap(({ name, alias }) => [name, alias]);
  }

  /** Begins to pull what a list names now, and goes on until it is there; what was under way for an earlier content ends. */
  take(list: string): void {
    const before = this.#runs.get(list);
    before?.ending.abort(new Error("the list has changed"));
    const ending = new AbortController();
    const signal = AbortSignal.any([ending.signal, this.#stopping.signal]);
    const done = (before?.done ?? Promise.resolve()).then(() => new ListPull(list, this.#options).run(signal));
    this.#runs.set(list, { ending, done });
  }

  /** Ends what is under way. */
  async stop(): Promise<void> {
    this.#stopping.abort(new Error("it is being stopped"));
    await Promise.all([...this.#runs.values()].map(({ done }) => done));
  }
}
