import { nextTurn } from "@k3s/async";
import { StoreError } from "./store-errors.ts";
import { toInterval } from "./key-range.ts";
import type { MvccIndex } from "./mvcc-index.ts";
import { assertNotCompacted, isPlain, needsValues, order, passes, readRevision, scanLimit } from "./range-selection.ts";
import type { KeyValue, RangeQuery, RangeResult } from "./types.ts";
import { revision } from "./types.ts";
import { NO_VALUE, type ValueCache } from "./value-cache.ts";
import { sortInSlices } from "./sort-in-slices.ts";
import { toKeyValue, type Version } from "./version.ts";

/** Keys read without letting other work in: about a millisecond. */
const SLICE_KEYS = 2000;
const MAX_ATTEMPTS = 5;
const NO_VALUES: ReadonlyMap<number, Buffer> = new Map();

interface Found {
  readonly kvs: readonly KeyValue[];
  /** How many there were without the limit; undefined: all of the range. */
  readonly selected?: number;
}

/** Answers range queries of one fixed revision each, in slices, so that a large list does not hold up the event loop. */
export class RangeReader {
  readonly #index: MvccIndex;
  readonly #values: ValueCache;

  constructor(index: MvccIndex, values: ValueCache) {
    this.#index = index;
    this.#values = values;
  }

  async read(query: RangeQuery): Promise<RangeResult> {
    for (let attempt = 1; ; attempt++) {
      const result = await this.#attempt(query);
      if (result !== undefined) return result;
      // A compaction overtook the read. A query for "now" starts again with a newer now.
      if (query.revision > 0) assertNotCompacted(this.#index, query.revision);
      if (attempt === MAX_ATTEMPTS)
        throw new StoreError("unavailable", "Cannot read range: rows are missing in the database");
    }
  }

  /** undefined when a compaction took rows away meanwhile. */
  async #attempt(query: RangeQuery): Promise<RangeResult | undefined> {
    const at = readRevision(this.#index, query);
    const current = revision(this.#index.committed);
    const count = at === current ? this.#index.count(toInterval(query), at) : await this.#count(query, at);
    if (count === undefined) return undefined;
    const found = await (isPlain(query) ? this.#slices(query, at) : this.#ordered(query, at));
    if (found === undefined) return undefined;
    const { kvs, selected = count } = found;
    return { revision: current, kvs, more: query.limit > 0 && !query.countOnly && kvs.length < selected, count };
  }

  async #ordered(query: RangeQuery, at: number): Promise<Found | undefined> {
    const selected = await this.#select(query, at);
    if (selected === undefined) return undefined;
    const kept = query.limit > 0 ? selected.slice(0, query.limit) : selected;
    const kvs = await this.#keyValues(kept, query, at);
    return kvs === undefined ? undefined : { kvs, selected: selected.length };
  }

  async #count(query: RangeQuery, at: number): Promise<number | undefined> {
    for (const slices = this.#index.countInSlices(toInterval(query), at); ;) {
      const { done = false, value } = slices.next();
      if (done) return value;
      if (!(await this.#isStillThere(at))) return undefined;
    }
  }

  /** For queries that sort or filter: they need all of the range before the first answer. */
  async #select(query: RangeQuery, at: number): Promise<readonly Version[] | undefined> {
    const found: Version[] = [];
    const values = new Map<number, Buffer>();
    for (let { from, to } = toInterval(query), left = scanLimit(query); left > 0;) {
      const wanted = Math.min(SLICE_KEYS, left);
      const slice = this.#index.scan({ from, to, revision: at, limit: wanted });
      for (const version of slice) if (passes(query, version)) found.push(version);
      left -= slice.length;
      const last = slice.at(-1);
      if (slice.length < wanted || last === undefined) break;
      from = `${last.key}\0`;
      if (!(await this.#isStillThere(at))) return undefined;
    }
    if (query.sort === undefined) return found;
    if (query.sort.target === "value" && !(await this.#load(found, at, values))) return undefined;
    return sortInSlices(
      found,
      order(query, ({ row }) => values.get(row) ?? NO_VALUE),
    );
  }

  async #keyValues(versions: readonly Version[], query: RangeQuery, at: number): Promise<KeyValue[] | undefined> {
    const kvs: KeyValue[] = [];
    for (let start = 0; start < versions.length; start += SLICE_KEYS) {
      const slice = versions.slice(start, start + SLICE_KEYS);
      const values = new Map<number, Buffer>();
      if (!query.keysOnly && !(await this.#load(slice, at, values))) return undefined;
      for (const version of slice) kvs.push(toKeyValue(version, values.get(version.row) ?? NO_VALUE));
      if (versions.length > SLICE_KEYS && !(await this.#isStillThere(at))) return undefined;
    }
    return kvs;
  }

  /** Adds the values of `versions` to `values`. False when some are gone. */
  async #load(versions: readonly Version[], at: number, values: Map<number, Buffer>): Promise<boolean> {
    for (let start = 0; start < versions.length; start += SLICE_KEYS) {
      if (start > 0 && !(await this.#isStillThere(at))) return false;
      const slice = versions.slice(start, start + SLICE_KEYS);
      const loaded = await this.#values.load(slice);
      if (loaded.size < slice.length) return false;
      for (const [row, value] of loaded) values.set(row, value);
    }
    return true;
  }

  async #slices(query: RangeQuery, at: number): Promise<Found | undefined> {
    const { from, to } = toInterval(query);
    const limit = scanLimit(query);
    const kvs: KeyValue[] = [];
    for (let start = from; kvs.length < limit;) {
      const wanted = Math.min(SLICE_KEYS, limit - kvs.length);
      const slice = this.#index.scan({ from: start, to, revision: at, limit: wanted });
      const values = needsValues(query) ? await this.#values.load(slice) : NO_VALUES;
      if (needsValues(query) && values.size < slice.length) return undefined;
      for (const version of slice) kvs.push(toKeyValue(version, values.get(version.row) ?? NO_VALUE));
      const last = slice.at(-1);
      if (slice.length < wanted || last === undefined || kvs.length >= limit) break;
      start = `${last.key}\0`;
      if (!(await this.#isStillThere(at))) return undefined;
    }
    return { kvs };
  }

  /** Lets other work in; false when a compaction was part of it that took the revision away. */
  async #isStillThere(at: number): Promise<boolean> {
    await nextTurn();
    return at >= this.#index.compactRevision;
  }
}
