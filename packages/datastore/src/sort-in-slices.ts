import { nextTurn } from "@k3s/async";

/** Sorted, or moved, without letting other work in: below a millisecond. */
const SLICE_ITEMS = 4000;

/** Sorts as `toSorted()`, stable, without holding up the event loop: the runs between two turns of it are merged. */
export async function sortInSlices<T>(items: readonly T[], compare: (a: T, b: T) => number): Promise<readonly T[]> {
  let runs: (readonly T[])[] = [];
  for (let start = 0; start < items.length; start += SLICE_ITEMS) {
    if (start > 0) await nextTurn();
    runs.push(items.slice(start, start + SLICE_ITEMS).sort(compare));
  }
  while (runs.length > 1) {
    const merged: (readonly T[])[] = [];
    for (let at = 0; at < runs.length; at += 2) merged.push(await merge(runs[at] ?? [], runs[at + 1] ?? [], compare));
    runs = merged;
  }
  return runs[0] ?? [];
}

async function merge<T>(
  left: readonly T[],
  right: readonly T[],
  compare: (a: T, b: T) => number,
): Promise<readonly T[]> {
  if (right.length === 0) return left;
  const merged: T[] = [];
  let [fromLeft, fromRight] = [0, 0];
  while (merged.length < left.length + right.length) {
    const end = merged.length + SLICE_ITEMS;
    while (merged.length < end) {
      const [a, b] = [left[fromLeft], right[fromRight]];
      if (a !== undefined && (b === undefined || compare(a, b) <= 0)) {
        merged.push(a);
        fromLeft++;
      } else if (b !== undefined) {
        merged.push(b);
        fromRight++;
      } else break;
    }
    await nextTurn();
  }
  return merged;
}
