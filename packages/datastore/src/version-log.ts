import type { Version } from "./version.ts";

/** Entries in one piece. One array of all of them would be copied whenever it grows: 30 ms at a million. */
const BLOCK = 1024;

/** Every version since the last compaction in revision order. Positions stay valid while the log grows and is cut. */
export class VersionLog {
  /** All are full but the last one. */
  readonly #blocks: Version[][] = [];
  /** Position of the first entry of the first block; what lies between it and `#start` is dropped but not yet cut off. */
  #base = 0;
  #start = 0;
  #end = 0;

  /** Position of the oldest entry. */
  get start(): number {
    return this.#start;
  }

  /** Position after the newest entry. */
  get end(): number {
    return this.#end;
  }

  at(position: number): Version | undefined {
    if (position < this.#start || position >= this.#end) return undefined;
    const offset = position - this.#base;
    return this.#blocks[Math.floor(offset / BLOCK)]?.[offset % BLOCK];
  }

  push(version: Version): void {
    const last = this.#blocks.at(-1);
    if (last === undefined || last.length === BLOCK) this.#blocks.push([version]);
    else last.push(version);
    this.#end++;
  }

  pop(): Version | undefined {
    if (this.#end === this.#start) return undefined;
    this.#end--;
    const last = this.#blocks.at(-1);
    const version = last?.pop();
    if (last?.length === 0) this.#blocks.pop();
    return version;
  }

  /** Position of the first entry with a revision not below `mod`. */
  find(mod: number): number {
    let low = this.#start;
    let high = this.#end;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if ((this.at(middle)?.mod ?? 0) < mod) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Forgets the entries before `position`. */
  dropBefore(position: number): void {
    this.#start = Math.max(this.#start, Math.min(position, this.#end));
    const dead = Math.floor((this.#start - this.#base) / BLOCK);
    this.#blocks.splice(0, dead);
    this.#base += dead * BLOCK;
  }
}
