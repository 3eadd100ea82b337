import type { KeyedEvent } from "./draft.ts";
import { overlaps, type Interval } from "./key-range.ts";
import { WatchRoutes } from "./watch-routes.ts";
import type { WatchEnd, WatchEvent } from "./types.ts";

/** A watch as the hub sees it. */
interface Member {
  readonly interval: Interval;
  deliver(events: readonly WatchEvent[]): void;
  end(reason: WatchEnd): void;
  /** Finds the events from a revision on in the log, and what is published meanwhile too. */
  replayFrom(revision: number): void;
  /** Ends it when it wants more than what is left after a compaction. */
  endBefore(compactRevision: number): void;
}

/** Hands events to the watches that want them: live ones at once, those still in replay find them in the log. */
export class WatchHub {
  readonly #routes = new WatchRoutes<Member>();
  readonly #all = new Set<Member>();
  #delivered = 0;

  /** Every live watch has been told of everything up to here. */
  get delivered(): number {
    return this.#delivered;
  }

  open(watch: Member): void {
    this.#all.add(watch);
  }

  /** From the next publication on the watch is told as it happens. */
  goLive(watch: Member): void {
    this.#routes.add(watch.interval, watch);
  }

  /** From the next publication on it is told nothing until it goes live again. */
  pause(watch: Member): void {
    this.#routes.delete(watch.interval, watch);
  }

  remove(watch: Member): void {
    this.#all.delete(watch);
    this.#routes.delete(watch.interval, watch);
  }

  publish(events: readonly KeyedEvent[], at: number): void {
    const batches = new Map<Member, WatchEvent[]>();
    for (const { key, event } of events) {
      for (const watch of this.#routes.match(key)) {
        const batch = batches.get(watch);
        if (batch === undefined) batches.set(watch, [event]);
        else batch.push(event);
      }
    }
    for (const [watch, batch] of batches) watch.deliver(batch);
    this.#delivered = Math.max(this.#delivered, at);
  }

  /**
   * Publishes revisions of many events in an interval: who wants some of them reads them from the log, as if it were behind. What was
   * published before is not told again.
   */
  publishFromLog(interval: Interval, { from, to }: { readonly from: number; readonly to: number }): void {
    if (to <= this.#delivered) return;
    const first = Math.max(from, this.#delivered + 1);
    for (const watch of [...this.#all]) if (overlaps(interval, watch.interval)) watch.replayFrom(first);
    this.#delivered = to;
  }

  /** History below `compactRevision` is gone, and no watch was told of all of it: ends those that want it. */
  endBefore(compactRevision: number): void {
    if (compactRevision > 0) for (const watch of [...this.#all]) watch.endBefore(compactRevision);
  }

  /** Ends every watch with "stopped". */
  stop(): void {
    for (const watch of [...this.#all]) watch.end({ reason: "stopped" });
  }
}
