import type { KeyedEvent } from "./draft.ts";
import { WatchRoutes } from "./watch-routes.ts";
import type { StoreWatch } from "./store-watch.ts";
import type { WatchEvent } from "./types.ts";

/** Hands events to the watches that want them: live ones at once, those still in replay find them in the log. */
export class WatchHub {
  readonly #routes = new WatchRoutes<StoreWatch>();
  readonly #all = new Set<StoreWatch>();
  #delivered = 0;

  /** Every live watch has been told of everything up to here. */
  get delivered(): number {
    return this.#delivered;
  }

  open(watch: StoreWatch): void {
    this.#all.add(watch);
  }

  /** From the next publication on the watch is told as it happens. */
  goLive(watch: StoreWatch): void {
    this.#routes.add(watch.interval, watch);
  }

  remove(watch: StoreWatch): void {
    this.#all.delete(watch);
    this.#routes.delete(watch.interval, watch);
  }

  publish(events: readonly KeyedEvent[], revision: number): void {
    const batches = new Map<StoreWatch, WatchEvent[]>();
    for (const { key, event } of events) {
      for (const watch of this.#routes.match(key)) {
        const batch = batches.get(watch);
        if (batch === undefined) batches.set(watch, [event]);
        else batch.push(event);
      }
    }
    for (const [watch, batch] of batches) watch.deliver(batch);
    this.#delivered = Math.max(this.#delivered, revision);
  }

  /** Ends every watch with "stopped". */
  stop(): void {
    for (const watch of [...this.#all]) watch.end({ reason: "stopped" });
  }
}
