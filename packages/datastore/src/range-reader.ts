import { nextTurn } from "@k3s/async";
import { StoreError } from "./store-errors.ts";
import { toInterval } from "./key-range.ts";
import type { MvccIndex } from "./mvcc-index.ts";
import {
  assertNotCompacted,
  buildRange,
  isPlain,
  needsValues,
  readRevision,
  scanLimit,
  select,
} from "./range-selection.ts";
import type { KeyValue, RangeQuery, RangeResult } from "./types.ts";
import { revision } from "./types.ts";
import { NO_VALUE, type ValueCache } from "./value-cache.ts";
import { toKeyValue } from "./version.ts";

/** Keys read without letting other work in: about a millisecond. */
const SLICE_KEYS = 2000;
const MAX_ATTEMPTS = 5;
const NO_VALUES: ReadonlyMap<number, Buffer> = new Map();

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
    const count = this.#index.count(toInterval(query), at);
    if (!isPlain(query)) return this.#whole(query, at);
    const kvs = await this.#slices(query, at);
    if (kvs === undefined) return undefined;
    return { revision: current, kvs, more: query.limit > 0 && !query.countOnly && kvs.length < count, count };
  }

  /** Queries that sort or filter need all of the range before the first answer. */
  async #whole(query: RangeQuery, at: number): Promise<RangeResult | undefined> {
    const current = revision(this.#index.committed);
    const selection = select(this.#index, query, at);
    const values = needsValues(query) ? await this.#values.load(selection.versions) : NO_VALUES;
    if (needsValues(query) && values.size < selection.versions.length) return undefined;
    return buildRange(query, selection, { revision: current, values });
  }

  async #slices(query: RangeQuery, at: number): Promise<KeyValue[] | undefined> {
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
      await nextTurn();
      if (at < this.#index.compactRevision) return undefined;
    }
    return kvs;
  }
}
