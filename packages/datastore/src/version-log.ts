import type { Version } from "./version.ts";

/** Every version since the last compaction in revision order. Positions stay valid while the log grows and is cut. */
export class VersionLog {
  #items: Version[] = [];
  /** Position of `#items[0]`; what lies between it and `#start` is dropped but not yet cut off. */
  #base = 0;
  #start = 0;

  /** Position of the oldest entry. */
  get start(): number {
    return this.#start;
  }

  /** Position after the newest entry. */
  get end(): number {
    return this.#base + this.#items.length;
  }

  at(position: number): Version | undefined {
    return position < this.#start ? undefined : this.#items[position - this.#base];
  }

  push(version: Version): void {
    this.#items.push(version);
  }

  pop(): Version | undefined {
    return this.end > this.#start ? this.#items.pop() : undefined;
  }

  /** Position of the first entry with a revision not below `mod`. */
  find(mod: number): number {
    let low = this.#start - this.#base;
    let high = this.#items.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#items[middle]?.mod ?? 0) < mod) low = middle + 1;
      else high = middle;
    }
    return this.#base + low;
  }

  /** Forgets the entries before `position`. */
  dropBefore(position: number): void {
    this.#start = Math.max(this.#start, Math.min(position, this.end));
    const dead = this.#start - this.#base;
    if (dead < 1024 || dead * 2 < this.#items.length) return; // cutting each time would be quadratic
    this.#items = this.#items.slice(dead);
    this.#base = this.#start;
  }
}
