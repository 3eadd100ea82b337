import type { MvccIndex } from "./mvcc-index.ts";
import type { LeaseId } from "./types.ts";
import { isLive, type Key, type Version } from "./version.ts";

/** Fewer changes are worth no walk. */
const MIN_CHANGES = 64;

/**
 * The keys of one lease: all that are attached to it in the index, pending changes included, and all that will be when pending ones are
 * taken back. Besides, there are keys that have left it, until {@link tidy} finds them: with a look at several for each change they are not
 * many more than those that are attached.
 */
export class LeaseKeys implements Iterable<Key> {
  readonly #id: LeaseId;
  readonly #keys = new Set<Key>();
  /** No fewer than the keys that may be here for nothing once the walk is over. */
  #changes = 0;
  #walk: SetIterator<Key> | undefined;

  constructor(id: LeaseId) {
    this.#id = id;
  }

  get size(): number {
    return this.#keys.size;
  }

  /** Whether a walk is under way, or so many keys may be here for nothing that one is worth its time. */
  get isUntidy(): boolean {
    return this.#walk !== undefined || (this.#changes >= MIN_CHANGES && this.#changes * 2 >= this.#keys.size);
  }

  [Symbol.iterator](): SetIterator<Key> {
    return this.#keys.values();
  }

  /** A key was attached. That may be taken back, which nobody tells. */
  add(key: Key): void {
    if (this.#keys.has(key)) return;
    this.#keys.add(key);
    this.#changes++;
  }

  /** A key was deleted or moved. That may be taken back. */
  noteLeft(): void {
    this.#changes++;
  }

  /** Looks at the next keys, `limit` at most and all of them once, and drops those that are here for nothing. Returns how many it looked at. */
  tidy(index: MvccIndex, limit: number): number {
    this.#walk ??= this.#begin();
    for (let looked = 0; looked < limit; looked++) {
      const { done, value: key } = this.#walk.next();
      if (done) {
        this.#walk = undefined;
        return looked;
      }
      this.#look(index, key);
    }
    return limit;
  }

  #begin(): SetIterator<Key> {
    this.#changes = 0;
    return this.#keys.values();
  }

  #look(index: MvccIndex, key: Key): void {
    const newest = index.newest(key);
    if (!this.#mayHold(newest, index.committed)) this.#keys.delete(key);
    // It may be here for nothing once that is durable or taken back.
    else if (newest !== undefined && newest.mod > index.committed) this.#changes++;
  }

  /** A rollback ends at any of the pending versions, where a plan is given up, or at the newest committed one. */
  #mayHold(newest: Version | undefined, committed: number): boolean {
    for (let version = newest; version !== undefined; version = version.previous) {
      if (isLive(version) && version.lease === this.#id) return true;
      if (version.mod <= committed) return false;
    }
    return false;
  }
}
