import { RecentIds } from "./recent-ids.ts";
import type { Stream } from "./stream.ts";

/** Frames for so many streams that we have ended may still be under way. */
const RECENT_MAX = 1024;

/** The streams of one connection, and what has to be known of those that are no more. */
export class StreamTable {
  readonly #open = new Map<number, Stream>();
  readonly #endedByUs = new RecentIds(RECENT_MAX);
  #lastId = 0;
  #abandoned = 0;

  /** Highest id the peer has used. */
  get lastId(): number {
    return this.#lastId;
  }

  get isEmpty(): boolean {
    return this.#open.size === 0;
  }

  /** Streams that cost something: open ones, and requests still worked on for nobody. */
  get load(): number {
    return this.#open.size + this.#abandoned;
  }

  /** The peer uses `id`, higher than all before, whatever becomes of it. */
  use(id: number): void {
    this.#lastId = id;
  }

  /** Whether the peer has not used `id` yet. The ids of servers are never used. */
  isIdle(id: number): boolean {
    return id > this.#lastId || id % 2 === 0;
  }

  get(id: number): Stream | undefined {
    return this.#open.get(id);
  }

  add(stream: Stream): void {
    this.#open.set(stream.id, stream);
  }

  remove(stream: Stream): void {
    stream.isGone = true;
    this.#open.delete(stream.id);
  }

  /** The peer may not know yet that `id` has ended: what it sends for it is no mistake. */
  endedByUs(id: number): void {
    this.#endedByUs.add(id);
  }

  /** Which side has ended `id`, which is gone; of those that we have ended only the last are remembered. */
  endOf(id: number): "ours" | "theirs" | "forgotten" {
    if (this.#endedByUs.has(id)) return "ours";
    return id <= this.#endedByUs.highestLost ? "forgotten" : "theirs";
  }

  /** Counts `work` of a stream that is gone until it settles, and calls `onSettled` then. */
  abandon(work: Promise<unknown>, onSettled: () => void): void {
    const settled = () => {
      this.#abandoned--;
      onSettled();
    };
    this.#abandoned++;
    work.then(settled, settled);
  }

  [Symbol.iterator](): Iterator<Stream> {
    return this.#open.values();
  }
}
