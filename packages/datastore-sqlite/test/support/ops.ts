import type { Compare, DeleteOp, Op, PutOp, RangeOp, RangeQuery, Txn } from "@k3s/datastore";

const NONE = Buffer.alloc(0);
export const FROM_KEY = Buffer.of(0);

/** The range of one key, or up to `end`. */
export function rangeOf(key: string, end?: string): { readonly key: Buffer; readonly rangeEnd: Buffer } {
  return { key: Buffer.from(key, "latin1"), rangeEnd: end === undefined ? NONE : Buffer.from(end, "latin1") };
}

/** The range of all keys below a prefix that ends in a slash. */
export function below(prefix: string): { readonly key: Buffer; readonly rangeEnd: Buffer } {
  return rangeOf(prefix, `${prefix.slice(0, -1)}0`);
}

export function query(
  range: { readonly key: Buffer; readonly rangeEnd: Buffer },
  more: Partial<RangeQuery> = {},
): RangeQuery {
  return { ...range, limit: 0, revision: 0, keysOnly: false, countOnly: false, ...more };
}

export function put(key: string, value: string | Buffer, more: Partial<PutOp> = {}): PutOp {
  return {
    kind: "put",
    key: Buffer.from(key, "latin1"),
    value: Buffer.from(value),
    lease: 0n,
    prevKv: false,
    ignoreValue: false,
    ignoreLease: false,
    ...more,
  };
}

export function del(key: string, end?: string, prevKv = false): DeleteOp {
  return { kind: "delete", ...rangeOf(key, end), prevKv };
}

export function get(key: string, more: Partial<RangeQuery> = {}): RangeOp {
  return { kind: "range", query: query(rangeOf(key), more) };
}

export function modIs(key: string, value: number): Compare {
  return { ...rangeOf(key), result: "equal", target: { field: "mod", value } };
}

/** A transaction without conditions. */
export function just(...success: readonly Op[]): Txn {
  return { compare: [], success, failure: [] };
}

/** What the API server sends to create an object. */
export function create(key: string, value: string, lease = 0n): Txn {
  return { compare: [modIs(key, 0)], success: [put(key, value, { lease })], failure: [] };
}

/** What the API server sends to change an object it has read at revision `mod`. */
export function update(key: string, mod: number, value: string): Txn {
  return { compare: [modIs(key, mod)], success: [put(key, value)], failure: [get(key)] };
}

/** What the API server sends to delete an object it has read at revision `mod`. */
export function remove(key: string, mod: number): Txn {
  return { compare: [modIs(key, mod)], success: [del(key)], failure: [get(key)] };
}
