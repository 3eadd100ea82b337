/** The last few ids that were added. */
export class RecentIds {
  readonly #max: number;
  readonly #ids = new Set<number>();

  constructor(max: number) {
    this.#max = max;
  }

  add(id: number): void {
    this.#ids.add(id);
    if (this.#ids.size <= this.#max) return;
    const [oldest] = this.#ids;
    if (oldest !== undefined) this.#ids.delete(oldest);
  }

  has(id: number): boolean {
    return this.#ids.has(id);
  }
}
