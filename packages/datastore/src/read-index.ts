import type { ForeignRows, Position } from "./driver.ts";

/** The first may have been under way, from before the database said where it stands; the next one sees what it said. */
const MAX_LOOKS = 3;

interface ReadIndexParts {
  readonly others: Pick<ForeignRows, "position">;
  /** Newest revision that the index shows. */
  readonly shown: () => number;
  /** Whether the database was last seen without changes that the index shows. */
  readonly lacksChanges: () => boolean;
  /** Brings the index to where the database stands, or stood when what was under way began. */
  readonly catchUp: () => Promise<unknown>;
  /** Told of every compaction that the database knows. */
  readonly onCompacted: (compactRevision: number) => void;
}

/**
 * Makes reads from memory linearizable where several servers write: before a read the database says where it stands, once for
 * all reads that came while it was asked before.
 */
export class ReadIndex {
  readonly #parts: ReadIndexParts;
  #asked: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  constructor(parts: ReadIndexParts) {
    this.#parts = parts;
  }

  /** Resolves once the index shows every commit that any server acknowledged before the call. Rejects with what the database said. */
  fresh(): Promise<void> {
    if (this.#asked === undefined) return this.#begin();
    // The question under way may have been answered before this call.
    this.#next ??= this.#asked.then(
      () => this.#begin(),
      () => this.#begin(),
    );
    return this.#next;
  }

  #begin(): Promise<void> {
    this.#next = undefined;
    const asked = this.#ask().finally(() => {
      if (this.#asked === asked) this.#asked = undefined;
    });
    this.#asked = asked;
    return asked;
  }

  async #ask(): Promise<void> {
    const { others, shown, lacksChanges, catchUp, onCompacted } = this.#parts;
    const known = shown();
    const position: Position = await others.position();
    // A database that has gone back is found there, and one that had gone back is refused until it is whole again.
    if (position.lastRow < known || lacksChanges()) await catchUp();
    for (let look = 0; look < MAX_LOOKS && position.lastRow > shown(); look++) await catchUp();
    onCompacted(position.compactRevision);
  }
}
