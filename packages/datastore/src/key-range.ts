import { toKey, type Key } from "./version.ts";
import type { KeyRange } from "./types.ts";

/** Half-open interval of keys; `to` undefined: no upper bound. */
export interface Interval {
  readonly from: Key;
  readonly to: Key | undefined;
}

/** The interval that etcd's pair of key and range end stands for. */
export function toInterval({ key, rangeEnd }: KeyRange): Interval {
  const from = toKey(key);
  if (rangeEnd.length === 0) return { from, to: `${from}\0` };
  if (rangeEnd.length === 1 && rangeEnd[0] === 0) return { from, to: undefined };
  return { from, to: toKey(rangeEnd) };
}

/** Whether `key` lies in the interval. */
export function contains(interval: Interval, key: Key): boolean {
  return key >= interval.from && (interval.to === undefined || key < interval.to);
}

/** Whether two intervals have room for the same key. */
export function overlaps(one: Interval, other: Interval): boolean {
  return (one.to === undefined || other.from < one.to) && (other.to === undefined || one.from < other.to);
}

/** Whether the interval has room for the key `from` only. */
export function isSingle({ from, to }: Interval): boolean {
  return to?.length === from.length + 1 && to.endsWith("\0") && to.startsWith(from);
}

/** Whether the interval is exactly "all keys that begin with `from`". */
export function isPrefix({ from, to }: Interval): boolean {
  return to !== undefined && from !== "" && to === afterPrefix(from);
}

function afterPrefix(prefix: Key): Key | undefined {
  let end = prefix.length;
  while (end > 0 && prefix.charCodeAt(end - 1) === 0xff) end--;
  if (end === 0) return undefined;
  return prefix.slice(0, end - 1) + String.fromCharCode(prefix.charCodeAt(end - 1) + 1);
}
