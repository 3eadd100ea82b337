import { nextTurn } from "@k3s/async";
import { PlaceMap } from "./place-map.ts";
import { entryBytes, ValueSegment } from "./value-segment.ts";

/** What an entry costs besides its bytes in a segment: its place in the map. */
export const PLACE_BYTES = 48;
/** Small enough that going through one is a moment's work, also when it is full of tiny values. */
export const SEGMENT_BYTES = 256 * 1024;
/** So many segments a small limit is divided into: with few of them, each that is dropped would be much of what is kept. */
const SEGMENTS_MIN = 8;
/** Entries above this share of a segment get one of their own: where they did not fit into the rest of one, it would be lost. */
const SHARED_MAX = 1 / 4;
/** Segments that one `put` rewrites at most; then the oldest is dropped with all that was used in it. */
export const REWRITES_MAX = 4;

/**
 * Values by row id up to a limit in memory, as a log of segments with second chance: where room is needed, what is in use of the oldest
 * segment moves to the newest end, and the rest is dropped. So neither a hit nor an eviction searches anything, and memory is used over and
 * over. As Buffers of their own values would take a quarter more, and those that were dropped would lie about until the next garbage
 * collection.
 *
 *   oldest sealed, …, newest sealed   nothing is added to them any more
 *   open                              what is added goes here
 *   spare                             memory for the next one
 */
export class ValueLog {
  readonly #limitBytes: number;
  readonly #segmentBytes: number;
  /** Slot of the segment × SEGMENT_BYTES + begin of the entry in it: up to a limit of 2 GiB a number without an object of its own. */
  readonly #places = new PlaceMap();
  readonly #segments: (ValueSegment | undefined)[] = [];
  readonly #freeSlots: number[] = [];
  readonly #sealed: ValueSegment[] = [];
  #open: ValueSegment | undefined;
  #spare: ValueSegment | undefined;
  #heldBytes = 0;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
    this.#segmentBytes = Math.min(SEGMENT_BYTES, Math.floor(limitBytes / SEGMENTS_MIN / 8) * 8);
  }

  /** All that counts towards the limit: memory of segments, filled or not, and places. */
  get usedBytes(): number {
    return this.#heldBytes + this.#places.size * PLACE_BYTES;
  }

  /** A copy: the memory is used again. */
  get(row: number): Buffer | undefined {
    const place = this.#places.get(row);
    if (place === undefined) return undefined;
    return this.#segments[Math.floor(place / SEGMENT_BYTES)]?.read(place % SEGMENT_BYTES);
  }

  /**
   * Keeps a copy, instead of the value that the row had, and drops what others there is no room for. A value that no room can be made for is
   * not kept. Besides the value's own bytes it works on `REWRITES_MAX` segments at most.
   */
  put(row: number, value: Buffer): void {
    this.delete(row);
    const bytes = entryBytes(value.length);
    if (bytes + PLACE_BYTES > this.#limitBytes) return;
    try {
      this.#add(row, value, bytes);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error; // of ArrayBuffer: the system has no memory
    }
  }

  /** Without effect on a row that is not there. */
  delete(row: number): void {
    const place = this.#places.get(row);
    if (place === undefined) return;
    this.#places.delete(row);
    const segment = this.#segments[Math.floor(place / SEGMENT_BYTES)];
    segment?.remove(place % SEGMENT_BYTES);
    if (segment?.liveBytes !== 0) return;
    if (segment === this.#open) {
      segment.rewind();
      return;
    }
    this.#unseal(segment);
    this.#free(segment);
  }

  /**
   * Gives memory back after many rows were deleted: segments of which less than half is left are moved together, one in each turn of the
   * event loop. Ends by itself whatever happens in between; it never rejects.
   */
  async trim(): Promise<void> {
    for (let turns = this.#sealed.length; turns > 0; turns--) {
      const segment = this.#emptiest(this.#segmentBytes / 2);
      if (segment === undefined) return;
      this.#unseal(segment);
      this.#rewrite(segment, () => true);
      await nextTurn();
    }
  }

  #add(row: number, value: Buffer, bytes: number): void {
    const isShared = bytes <= this.#segmentBytes * SHARED_MAX;
    for (let rewrites = 0; ;) {
      const segment = isShared ? this.#openFor(bytes) : this.#loneFor(bytes);
      if (segment !== undefined) {
        this.#place(row, segment, segment.append(row, value));
        return;
      }
      if (!this.#releaseSpare()) this.#clean(rewrites++ < REWRITES_MAX);
    }
  }

  /** The open segment, or the next one where that is full; undefined: something has to go first. */
  #openFor(bytes: number): ValueSegment | undefined {
    if (this.#open?.fits(bytes) === true) return this.#hasRoom(0) ? this.#open : undefined;
    if (!this.#hasRoom(this.#spare === undefined ? this.#segmentBytes : 0)) return undefined;
    const next = this.#spare ?? this.#create(this.#segmentBytes);
    this.#spare = undefined;
    this.#openNext(next);
    return next;
  }

  /** A segment for one entry; undefined: something has to go first. */
  #loneFor(bytes: number): ValueSegment | undefined {
    if (!this.#hasRoom(bytes)) return undefined;
    const segment = this.#create(bytes);
    this.#sealed.push(segment);
    return segment;
  }

  /** Whether so much memory and one more place are within the limit. */
  #hasRoom(bytes: number): boolean {
    return this.usedBytes + bytes + PLACE_BYTES <= this.#limitBytes;
  }

  /**
   * Makes room, also if only some. What is deleted already goes before what is not in use: a segment with more of it than the largest
   * shared entry takes makes room for any.
   */
  #clean(hasChance: boolean): void {
    const emptiest = hasChance ? this.#emptiest(this.#segmentBytes * (1 - SHARED_MAX)) : undefined;
    if (emptiest !== undefined) {
      this.#unseal(emptiest);
      this.#rewrite(emptiest, () => true);
      return;
    }
    const oldest = this.#sealed.shift() ?? this.#close();
    if (oldest === undefined) throw new Error("Cannot make room for a value: nothing is kept");
    const isKept = (at: number) => hasChance && oldest.takeMark(at);
    if (oldest.capacityBytes !== this.#segmentBytes && isKept(0)) this.#sealed.push(oldest);
    else this.#rewrite(oldest, isKept);
  }

  /** The sealed segment with the fewest bytes that are left, if they are fewer than `liveBytes`. */
  #emptiest(liveBytes: number): ValueSegment | undefined {
    let found: ValueSegment | undefined;
    for (const segment of this.#sealed) {
      const isEmptier = segment.liveBytes < (found?.liveBytes ?? liveBytes);
      if (isEmptier && segment.capacityBytes === this.#segmentBytes) found = segment;
    }
    return found;
  }

  /**
   * Moves the entries that `isKept` names to the newest end and drops the others: into the open segment while it has room, then to the front
   * of the segment's own memory. So this never takes memory, and the segment, which is not among the sealed ones any more, is the open one
   * afterwards or free.
   */
  #rewrite(segment: ValueSegment, isKept: (at: number) => boolean): void {
    const end = segment.rewind();
    for (let at = 0, bytes = 0; at < end; at += bytes) {
      bytes = segment.bytesAt(at);
      if (segment.isGone(at)) continue;
      const row = segment.rowAt(at);
      if (isKept(at)) {
        if (this.#open?.fits(bytes) !== true) this.#openNext(segment);
        this.#move(row, segment, at);
      } else this.#places.delete(row);
    }
    if (segment !== this.#open) this.#free(segment);
  }

  #move(row: number, segment: ValueSegment, at: number): void {
    const target = this.#open ?? segment;
    this.#place(row, target, target.take(segment, at));
  }

  #place(row: number, segment: ValueSegment, at: number): void {
    this.#places.set(row, segment.slot * SEGMENT_BYTES + at);
  }

  #openNext(segment: ValueSegment): void {
    if (this.#open !== undefined) this.#sealed.push(this.#open);
    this.#open = segment;
  }

  #close(): ValueSegment | undefined {
    const segment = this.#open;
    this.#open = undefined;
    return segment;
  }

  #unseal(segment: ValueSegment): void {
    this.#sealed.splice(this.#sealed.indexOf(segment), 1);
  }

  #create(bytes: number): ValueSegment {
    const segment = new ValueSegment(this.#freeSlots.at(-1) ?? this.#segments.length, bytes);
    this.#freeSlots.pop();
    this.#segments[segment.slot] = segment;
    this.#heldBytes += bytes;
    return segment;
  }

  #free(segment: ValueSegment): void {
    if (this.#spare !== undefined || segment.capacityBytes !== this.#segmentBytes) {
      this.#release(segment);
      return;
    }
    segment.rewind();
    this.#spare = segment;
  }

  /** Whether there was one. */
  #releaseSpare(): boolean {
    const spare = this.#spare;
    this.#spare = undefined;
    if (spare !== undefined) this.#release(spare);
    return spare !== undefined;
  }

  #release(segment: ValueSegment): void {
    this.#heldBytes -= segment.capacityBytes;
    this.#segments[segment.slot] = undefined;
    this.#freeSlots.push(segment.slot);
    segment.release();
  }
}
