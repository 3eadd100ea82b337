import type { Compare, KeyValue, RangeRequest } from "../history/operation.ts";
import type { ExpectedRange } from "./expected.ts";
import { scan, toKeyValue, type State, type Version } from "./state.ts";

/** Answers a range over `keys` at a revision that was found readable before. */
export function readRange(keys: State["keys"], request: RangeRequest, current: number): ExpectedRange {
  const at = isPinned(request) ? (request.revision ?? 0) : current;
  const versions = scan(keys, request, at);
  const passing = versions.filter((version) => passes(request, version)).map(toKeyValue);
  const { kvs, sortedBy } = sorted(request, passing);
  const limit = request.countOnly === true ? 0 : limitOf(request);
  return {
    kind: "range",
    kvs: request.keysOnly === true ? kvs.map((kv) => ({ ...kv, value: "" })) : kvs,
    sortedBy,
    limit,
    more: request.countOnly !== true && kvs.length > limit,
    count: versions.length,
  };
}

/** Whether the request names the revision that it reads. */
export function isPinned({ revision = 0 }: RangeRequest): boolean {
  return revision > 0;
}

function limitOf({ limit = 0 }: RangeRequest): number {
  return limit > 0 ? limit : Number.POSITIVE_INFINITY;
}

function passes({ minMod = 0, maxMod = 0, minCreate = 0, maxCreate = 0 }: RangeRequest, version: Version): boolean {
  const within = (value: number, min: number, max: number) => value >= min && (max === 0 || value <= max);
  return within(version.mod, minMod, maxMod) && within(version.create, minCreate, maxCreate);
}

function sorted({ sort }: RangeRequest, kvs: KeyValue[]): Pick<ExpectedRange, "kvs" | "sortedBy"> {
  if (sort === undefined) return { kvs, sortedBy: undefined };
  const { target } = sort;
  const isDescending = sort.order === "descend";
  if (target === "key") return { kvs: isDescending ? kvs.reverse() : kvs, sortedBy: undefined };
  const sortedBy = (kv: KeyValue) => kv[target];
  const order = (a: number | string, b: number | string) => (a === b ? 0 : a < b ? -1 : 1);
  const sign = isDescending ? -1 : 1;
  return { kvs: kvs.sort((a, b) => sign * order(sortedBy(a), sortedBy(b))), sortedBy };
}

const ABSENT = { version: 0, create: 0, mod: 0, lease: 0 };

/** Whether a comparison holds for every key of its span; of none, it is taken for a key of zeros that has no value. */
export function holds(keys: State["keys"], compare: Compare): boolean {
  const versions = scan(keys, compare, Number.POSITIVE_INFINITY);
  const { target } = compare;
  if (target.field === "value") {
    const { value } = target;
    return versions.length > 0 && versions.every((version) => isOrdered(compare, order(version.value, value)));
  }
  const { field, value } = target;
  const found = versions.length === 0 ? [ABSENT] : versions;
  return found.every((version) => isOrdered(compare, order(version[field], value)));
}

function order<T extends number | string>(actual: T, wanted: T): number {
  return actual === wanted ? 0 : actual < wanted ? -1 : 1;
}

function isOrdered({ result }: Compare, actual: number): boolean {
  switch (result) {
    case "equal":
      return actual === 0;
    case "greater":
      return actual > 0;
    case "less":
      return actual < 0;
    case "notEqual":
      return actual !== 0;
  }
}
