import type { HeaderField } from "./header-field.ts";

/** The most recent fields of RFC 7541 section 2.3.2, limited by their size. Index 0 is the newest. */
export class DynamicTable {
  /** A ring: the newest entry is at `#newest`, older ones follow. */
  #ring: (HeaderField | undefined)[] = new Array<undefined>(16);
  #newest = 0;
  #count = 0;
  #size = 0;
  #maxSize: number;

  constructor(maxSize: number) {
    this.#maxSize = maxSize;
  }

  get count(): number {
    return this.#count;
  }

  get size(): number {
    return this.#size;
  }

  get maxSize(): number {
    return this.#maxSize;
  }

  at(index: number): HeaderField | undefined {
    return index < this.#count ? this.#ring[(this.#newest + index) & (this.#ring.length - 1)] : undefined;
  }

  /** Adds the newest entry and drops as many of the oldest as needed; one that is larger than the table empties it. */
  add(field: HeaderField): void {
    this.#evict(this.#maxSize - field.size);
    if (field.size > this.#maxSize) return;
    if (this.#count === this.#ring.length) this.#grow();
    this.#newest = (this.#newest - 1) & (this.#ring.length - 1);
    this.#ring[this.#newest] = field;
    this.#count++;
    this.#size += field.size;
  }

  resize(maxSize: number): void {
    this.#maxSize = maxSize;
    this.#evict(maxSize);
  }

  #evict(sizeMax: number): void {
    while (this.#count > 0 && this.#size > sizeMax) {
      this.#count--;
      const slot = (this.#newest + this.#count) & (this.#ring.length - 1);
      this.#size -= this.#ring[slot]?.size ?? 0;
      this.#ring[slot] = undefined;
    }
  }

  #grow(): void {
    const entries = Array.from({ length: this.#count }, (_, i) => this.at(i));
    this.#ring = [...entries, ...new Array<undefined>(this.#ring.length)];
    this.#newest = 0;
  }
}
