import { nextTurn } from "@k3s/async";

/**
 * Calls `visit` for each item, in order, `size` of them in one turn of the event loop: up to so many take no turn but the present one. Ends
 * with the first error of `visit`.
 */
export async function inSlices<T>(
  items: readonly T[],
  size: number,
  visit: (item: T, index: number) => void,
): Promise<void> {
  for (const [index, item] of items.entries()) {
    if (index > 0 && index % size === 0) await nextTurn();
    visit(item, index);
  }
}
