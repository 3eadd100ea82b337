/** Ids `first` to `last` that are not there. */
export interface Hole {
  readonly first: number;
  readonly last: number;
}

/** What is missing between `after` and the last of the ids, which are in order. */
export function holesIn(after: number, ids: readonly number[]): Hole[] {
  const holes: Hole[] = [];
  let before = after;
  for (const id of ids) {
    if (id <= before) continue;
    if (id > before + 1) holes.push({ first: before + 1, last: id - 1 });
    before = id;
  }
  return holes;
}

/** How many ids the holes have. */
export function sizeOf(holes: readonly Hole[]): number {
  return holes.reduce((sum, { first, last }) => sum + last - first + 1, 0);
}

/** The ids of the holes, in order. */
export function idsOf(holes: readonly Hole[]): number[] {
  return holes.flatMap(({ first, last }) => Array.from({ length: last - first + 1 }, (_, i) => first + i));
}
