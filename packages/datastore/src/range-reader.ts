import { nextTurn } from "./next-turn.ts";
import { StoreError } from "./store-errors.ts";
import { toInterval } from "./key-range.ts";
import type { MvccIndex } from "./mvcc-index.ts";
import { assertNotCompacted, buildRange, needsValues, readRevision, scanLimit } from "./range-selection.ts";
import type { RangeQuery, RangeResult } from "./types.ts";
import { revision } from "./types.ts";
import type { ValueCache } from "./value-cache.ts";
import type { Version } from "./version.ts";

/** Keys read without letting other work in: about a millisecond. */
const SLICE_KEYS = 2000;
const MAX_ATTEMPTS = 5;

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

  async #attempt(query: RangeQuery): Promise<RangeResult | undefined> {
    const at = readRevision(this.#index, query);
    const current = revision(this.#index.committed);
    const count = this.#index.count(toInterval(query), at);
    const versions = await this.#scan(query, at);
    if (versions === undefined) return undefined;
    const values = needsValues(query) ? await this.#values.load(versions) : new Map<number, Buffer>();
    if (needsValues(query) && values.size < versions.length) return undefined;
    return buildRange(query, { versions, count }, { revision: current, values });
  }

  async #scan(query: RangeQuery, at: number): Promise<Version[] | undefined> {
    const { from, to } = toInterval(query);
    const limit = scanLimit(query);
    const found: Version[] = [];
    for (let start = from; ;) {
      const wanted = Math.min(SLICE_KEYS, limit - found.length);
      const slice = this.#index.scan({ from: start, to, revision: at, limit: wanted });
      for (const version of slice) found.push(version);
      const last = slice.at(-1);
      if (slice.length < SLICE_KEYS || last === undefined || found.length >= limit) return found;
      start = `${last.key}\0`;
      await nextTurn();
      if (at < this.#index.compactRevision) return undefined;
    }
  }
}
