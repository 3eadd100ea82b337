import { Latest } from "@k3s/async";
import type { KeyRange, Store, Watch, WatchBatch, WatchEnd, WatchEvent } from "@k3s/datastore";

/** Keeps what a watch is told and waits for more. */
export class WatchRecorder {
  /** Each whole. */
  readonly batches: WatchBatch[] = [];
  readonly watch: Watch;
  #parts: WatchEvent[] = [];
  readonly #seen = new Latest<{ readonly events: number; readonly end: WatchEnd | undefined }>({
    events: 0,
    end: undefined,
  });

  constructor(store: Store, range: KeyRange, startRevision = 0) {
    this.watch = store.watch({
      ...range,
      startRevision,
      onEvents: (batch) => {
        this.#parts.push(...batch.events);
        if (batch.isPart) return;
        this.batches.push({ ...batch, events: this.#parts });
        this.#parts = [];
        this.#seen.set({ ...this.#seen.get(), events: this.events.length });
      },
      onEnd: (end) => this.#seen.set({ ...this.#seen.get(), end }),
    });
  }

  get events(): WatchEvent[] {
    return this.batches.flatMap(({ events }) => events);
  }

  /** One line per event: revision, type, key, value, and the value before. */
  get lines(): string[] {
    return this.events.map(({ type, kv, prevKv }) => {
      const before = prevKv === undefined ? "" : ` was ${prevKv.value.toString()}@${prevKv.modRevision}`;
      return `${kv.modRevision} ${type} ${kv.key.toString()}=${kv.value.toString()}${before}`;
    });
  }

  async count(events: number): Promise<void> {
    await this.#seen.until((seen) => seen.events >= events, AbortSignal.timeout(20_000));
  }

  async ended(): Promise<WatchEnd | undefined> {
    return (await this.#seen.until(({ end }) => end !== undefined, AbortSignal.timeout(20_000))).end;
  }
}
