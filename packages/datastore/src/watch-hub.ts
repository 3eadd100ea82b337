import type { KeyedEvent } from "./draft.ts";
import type { Interval } from "./key-range.ts";
import { WatchRoutes } from "./watch-routes.ts";
import { revision, type WatchEnd, type WatchEvent } from "./types.ts";

/** A watch as the hub sees it. */
interface Member {
  readonly interval: Interval;
  deliver(events: readonly WatchEvent[]): void;
  end(reason: WatchEnd): void;
  /** First revision that it wants. */
  readonly startRevision: number;
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

  /** Ends every watch that wants events below `at` which nobody can tell any more. Before the publication that reaches `at`. */
  endBelow(at: number): void {
    const lost: WatchEnd = { reason: "compacted", compactRevision: revision(at) };
    for (const watch of [...this.#all]) if (watch.startRevision < at) watch.end(lost);
  }

  /** Ends every watch with "stopped". */
  stop(): void {
    for (const watch of [...this.#all]) watch.end({ reason: "stopped" });
  }
}
