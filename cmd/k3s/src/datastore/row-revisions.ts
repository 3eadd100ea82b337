import type { RowSpan } from "@k3s/datastore";

/** Tells the revision of a row: the rows of one change are one revision, that of the last of them. */
export function rowRevisions(spans: readonly RowSpan[]): (row: number) => number {
  const sorted = spans.toSorted((a, b) => a.last - b.last);
  return (row) => {
    const span = sorted[lowerBound(sorted, ({ last }) => last < row)];
    return span !== undefined && span.first <= row ? span.last : row;
  };
}

/** Index of the first item that is not below; all that are below stand in front. */
export function lowerBound<T>(items: readonly T[], isBelow: (item: T) => boolean): number {
  let [low, high] = [0, items.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    const item = items[middle];
    if (item !== undefined && isBelow(item)) low = middle + 1;
    else high = middle;
  }
  return low;
}
