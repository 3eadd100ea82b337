/** A power of two. */
const PARTS = 32;

/**
 * Numbers by row id. Many small maps instead of one: a map is built anew whenever it has doubled, or after as many changes, and one of 200,000
 * entries holds up everything else for 20 ms then.
 */
export class PlaceMap {
  readonly #parts = Array.from({ length: PARTS }, () => new Map<number, number>());
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(row: number): number | undefined {
    return this.#parts[row % PARTS]?.get(row);
  }

  set(row: number, place: number): void {
    const part = this.#parts[row % PARTS];
    if (part === undefined) throw new RangeError(`Cannot keep a place: "${row}" is no row id`);
    this.#size -= part.size;
    part.set(row, place);
    this.#size += part.size;
  }

  delete(row: number): void {
    if (this.#parts[row % PARTS]?.delete(row) === true) this.#size--;
  }
}
