/** What a page should hold, going by the one before it. */
const PAGE_BYTES = 4 << 20;

/**
 * How many keys to ask for after this page, at most `max`. Values of one size are often many in a row, yet what follows may be larger:
 * pages grow by and by.
 */
export function nextPageKeys(page: readonly { readonly key: Buffer; readonly value: Buffer }[], max: number): number {
  const bytes = page.reduce((sum, { key, value }) => sum + key.length + value.length, 1);
  const fitting = Math.floor((PAGE_BYTES * page.length) / bytes);
  return Math.max(1, Math.min(fitting, 4 * page.length, max));
}
