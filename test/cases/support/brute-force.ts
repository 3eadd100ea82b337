import type { RangeArgs } from "@k3s/testkit";

/** Live keys of one revision with their values. */
type State = ReadonlyMap<string, string>;

/** A store as simple as can be: a full copy for each revision. Keys are strings of one char per byte. */
export class BruteForce {
  readonly #states = new Map<number, State>();
  #newest = 0;

  /** Takes note of one change. */
  apply(revision: number, key: string, value: string | undefined): void {
    const state = new Map(this.#states.get(this.#newest));
    if (value === undefined) state.delete(key);
    else state.set(key, value);
    this.#states.set(revision, state);
    this.#newest = revision;
  }

  get revisions(): readonly number[] {
    return [...this.#states.keys()];
  }

  /** Whether the key is there now. */
  has(key: string): boolean {
    return this.#states.get(this.#newest)?.has(key) ?? false;
  }

  /** What etcd promises as the answer. */
  range({ key, end = "", limit = 0, revision = 0 }: RangeArgs): {
    kvs: [string, string][];
    more: boolean;
    count: number;
  } {
    const state = this.#states.get(revision === 0 ? this.#newest : revision);
    if (state === undefined) throw new Error(`Cannot read revision ${revision}: unknown`);
    const found = [...state].filter(([name]) => isIn(name, key, end)).sort(([a], [b]) => (a < b ? -1 : 1));
    const kvs = limit > 0 ? found.slice(0, limit) : found;
    return { kvs, more: kvs.length < found.length, count: found.length };
  }
}

function isIn(name: string, key: string, end: string): boolean {
  if (end === "") return name === key;
  return name >= key && (end === "\0" || name < end);
}
