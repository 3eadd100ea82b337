import { StoreError } from "./store-errors.ts";
import { toInterval } from "./key-range.ts";
import type { MvccIndex } from "./mvcc-index.ts";
import type { RangeQuery, RangeResult, Revision } from "./types.ts";
import { toKeyValue, type Version } from "./version.ts";
import { NO_VALUE } from "./value-cache.ts";

/** What a range query found, before the values are put to it. */
export interface Selection {
  readonly versions: readonly Version[];
  /** Live keys of the range, whatever limit and filters say. */
  readonly count: number;
}

/** The revision a query reads at. Throws what etcd answers for revisions that are gone or have not come yet. */
export function readRevision(index: MvccIndex, query: RangeQuery): number {
  assertKey(query.key);
  if (query.revision > index.committed) throw futureRevision(query.revision, index.committed);
  if (query.revision > 0) assertNotCompacted(index, query.revision);
  return query.revision > 0 ? query.revision : index.committed;
}

/** Throws when `at` lies below the compaction. */
export function assertNotCompacted(index: Pick<MvccIndex, "compactRevision">, at: number): void {
  if (at >= index.compactRevision) return;
  throw new StoreError("compacted", `Cannot read revision ${at}: compacted up to ${index.compactRevision}`);
}

/** Throws for the empty key, which etcd allows in watches only. */
export function assertKey(key: Buffer): void {
  if (key.length === 0) throw new StoreError("emptyKey", "Cannot use key: it is empty");
}

/** The error for a revision that does not exist yet. */
export function futureRevision(asked: number, current: number): StoreError {
  return new StoreError("futureRevision", `Cannot use revision ${asked}: current revision is ${current}`);
}

/** Whether limit and order can be applied while scanning, or only to the whole range. */
export function isPlain(query: RangeQuery): boolean {
  const { sort } = query;
  const inKeyOrder = sort === undefined || (sort.target === "key" && !sort.descending);
  return inKeyOrder && !hasBounds(query);
}

function hasBounds(query: RangeQuery): boolean {
  const { minModRevision = 0, maxModRevision = 0, minCreateRevision = 0, maxCreateRevision = 0 } = query;
  return minModRevision !== 0 || maxModRevision !== 0 || minCreateRevision !== 0 || maxCreateRevision !== 0;
}

/** Most versions a scan for this query needs. */
export function scanLimit(query: RangeQuery): number {
  if (query.countOnly) return 0;
  if (query.limit > 0 && isPlain(query)) return query.limit;
  const looksAtFirst = query.limit > 0 && query.sort?.firstKeysOnly === true && !hasBounds(query);
  return looksAtFirst ? query.limit + 1 : Number.POSITIVE_INFINITY;
}

/** Whether values are needed to answer, for the answer itself or for its order. */
export function needsValues(query: RangeQuery): boolean {
  return !query.countOnly && (!query.keysOnly || query.sort?.target === "value");
}

/** Reads the whole selection in one go. `revision` may be NEWEST. */
export function select(index: MvccIndex, query: RangeQuery, revision: number): Selection {
  const interval = toInterval(query);
  const versions = index.scan({ ...interval, revision, limit: scanLimit(query) });
  return { versions, count: index.count(interval, revision) };
}

/** Filters, sorts, cuts, and puts the values in. `values` holds all that {@link needsValues} asks for. */
export function buildRange(
  query: RangeQuery,
  selection: Selection,
  context: { readonly revision: Revision; readonly values: ReadonlyMap<number, Buffer> },
): RangeResult {
  const valueOf = (version: Version) => context.values.get(version.row) ?? version.value ?? NO_VALUE;
  let versions = selection.versions;
  if (!isPlain(query)) versions = versions.filter((version) => passes(query, version)).sort(order(query, valueOf));
  const kept = query.limit > 0 ? versions.slice(0, query.limit) : versions;
  const more = isPlain(query) ? kept.length < selection.count : kept.length < versions.length;
  return {
    revision: context.revision,
    kvs: kept.map((version) => toKeyValue(version, query.keysOnly ? NO_VALUE : valueOf(version))),
    more: query.limit > 0 && !query.countOnly && more,
    count: selection.count,
  };
}

/** Whether a version is within the bounds of a query. */
export function passes(query: RangeQuery, { mod, create }: Version): boolean {
  return (
    mod >= (query.minModRevision ?? 0) &&
    mod <= upper(query.maxModRevision) &&
    create >= (query.minCreateRevision ?? 0) &&
    create <= upper(query.maxCreateRevision)
  );
}

function upper(bound: number | undefined): number {
  return bound === undefined || bound === 0 ? Number.POSITIVE_INFINITY : bound;
}

/** How a query wants its answer ordered. */
export function order(query: RangeQuery, valueOf: (version: Version) => Buffer): (a: Version, b: Version) => number {
  const target = query.sort?.target ?? "key";
  const sign = query.sort?.descending === true ? -1 : 1;
  const compare = {
    key: (a: Version, b: Version) => (a.key < b.key ? -1 : Number(a.key > b.key)),
    version: (a: Version, b: Version) => a.version - b.version,
    create: (a: Version, b: Version) => a.create - b.create,
    mod: (a: Version, b: Version) => a.mod - b.mod,
    value: (a: Version, b: Version) => valueOf(a).compare(valueOf(b)),
  }[target];
  return (a, b) => sign * compare(a, b);
}
