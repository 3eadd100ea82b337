import { Latest } from "@k3s/async";
import type { Store, WatchEnd, WatchEvent } from "@k3s/datastore";
import { rangeOf } from "./ops.ts";

/** Keeps what a watch of all keys is told, and waits for more. */
export class Recorder {
  readonly events: WatchEvent[] = [];
  readonly #seen = new Latest<{ readonly events: number; readonly end: WatchEnd | undefined }>({
    events: 0,
    end: undefined,
  });

  constructor(store: Store, startRevision = 0) {
    store.watch({
      ...rangeOf("/", "0"),
      startRevision,
      onEvents: ({ events }) => {
        this.events.push(...events);
        this.#seen.set({ ...this.#seen.get(), events: this.events.length });
      },
      onEnd: (end) => this.#seen.set({ ...this.#seen.get(), end }),
    });
  }

  /** One line per event: revision, type, key, value, and the value before. */
  get lines(): string[] {
    return this.events.map(({ type, kv, prevKv }) => {
      const before = prevKv === undefined ? "" : ` was ${prevKv.value.toString()}`;
      return `${kv.modRevision} ${type} ${kv.key.toString()}=${kv.value.toString()}${before}`;
    });
  }

  async count(events: number): Promise<void> {
    await this.#seen.until((seen) => seen.events >= events, AbortSignal.timeout(30_000));
  }

  async ended(): Promise<WatchEnd | undefined> {
    return (await this.#seen.until(({ end }) => end !== undefined, AbortSignal.timeout(30_000))).end;
  }
}
