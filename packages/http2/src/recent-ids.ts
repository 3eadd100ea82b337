/** The last few ids that were added. */
export class RecentIds {
  readonly #max: number;
  readonly #ids = new Set<number>();
  #highestLost = 0;

  constructor(max: number) {
    this.#max = max;
  }

  add(id: number): void {
    this.#ids.add(id);
    if (this.#ids.size <= this.#max) return;
    const [oldest] = this.#ids;
    if (oldest === undefined) return;
    this.#ids.delete(oldest);
    this.#highestLost = Math.max(this.#highestLost, oldest);
  }

  /** The highest id that was added and is not known any more, or 0. */
  get highestLost(): number {
    return this.#highestLost;
  }

  has(id: number): boolean {
    return this.#ids.has(id);
  }
}
