import type { Compare, Op, RangeQuery, RangeResult, Txn } from "@k3s/datastore";

const NONE = Buffer.alloc(0);

/** The range of one key, or up to `end`. */
export function rangeOf(key: string, end?: string): { readonly key: Buffer; readonly rangeEnd: Buffer } {
  return { key: Buffer.from(key), rangeEnd: end === undefined ? NONE : Buffer.from(end) };
}

/** All keys, without a limit. */
export function everything(more: Partial<RangeQuery> = {}): RangeQuery {
  return { ...rangeOf("/", "0"), limit: 0, revision: 0, keysOnly: false, countOnly: false, ...more };
}

export function put(key: string, value: string, lease = 0n): Op {
  const plain = { prevKv: false, ignoreValue: false, ignoreLease: false };
  return { kind: "put", key: Buffer.from(key), value: Buffer.from(value), lease, ...plain };
}

export function del(key: string, end?: string): Op {
  return { kind: "delete", ...rangeOf(key, end), prevKv: false };
}

/** A transaction without conditions. */
export function just(...success: readonly Op[]): Txn {
  return { compare: [], success, failure: [] };
}

/** A transaction that succeeds when `key` was changed last at revision `mod`; 0: when there is no such key. */
export function when(key: string, mod: number, ...success: readonly Op[]): Txn {
  const compare: Compare = { ...rangeOf(key), result: "equal", target: { field: "mod", value: mod } };
  return { compare: [compare], success, failure: [] };
}

/** `key=value@mod` of each. */
export function texts({ kvs }: RangeResult): string[] {
  return kvs.map(({ key, value, modRevision }) => `${key.toString()}=${value.toString()}@${modRevision}`);
}
