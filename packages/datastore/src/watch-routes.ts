import { contains, isPrefix, type Interval } from "./key-range.ts";
import type { Key } from "./version.ts";

/** Finds who wants a key without asking everybody: by exact key and by prefix through maps, other ranges one by one. */
export class WatchRoutes<T> {
  readonly #keys = new Map<Key, Set<T>>();
  readonly #prefixes = new Map<Key, Set<T>>();
  /** How many different prefixes of each length there are. */
  readonly #lengths = new Map<number, number>();
  readonly #ranges = new Map<T, Interval>();

  add(interval: Interval, target: T): void {
    const table = this.#tableOf(interval);
    if (table === undefined) {
      this.#ranges.set(target, interval);
      return;
    }
    const set = table.get(interval.from);
    if (set !== undefined) set.add(target);
    else {
      table.set(interval.from, new Set([target]));
      if (table === this.#prefixes) this.#countLength(interval.from.length, 1);
    }
  }

  delete(interval: Interval, target: T): void {
    const table = this.#tableOf(interval);
    this.#ranges.delete(target);
    const set = table?.get(interval.from);
    if (table === undefined || set?.delete(target) !== true || set.size > 0) return;
    table.delete(interval.from);
    if (table === this.#prefixes) this.#countLength(interval.from.length, -1);
  }

  *match(key: Key): Generator<T, void> {
    yield* this.#keys.get(key) ?? [];
    for (const length of this.#lengths.keys())
      if (length <= key.length) yield* this.#prefixes.get(key.slice(0, length)) ?? [];
    for (const [target, interval] of this.#ranges) if (contains(interval, key)) yield target;
  }

  #tableOf(interval: Interval): Map<Key, Set<T>> | undefined {
    if (interval.to === `${interval.from}\0`) return this.#keys;
    return isPrefix(interval) ? this.#prefixes : undefined;
  }

  #countLength(length: number, change: 1 | -1): void {
    const count = (this.#lengths.get(length) ?? 0) + change;
    if (count === 0) this.#lengths.delete(length);
    else this.#lengths.set(length, count);
  }
}
