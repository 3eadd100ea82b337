import { sleep } from "@k3s/async";
import type { Store } from "@k3s/datastore";
import type { Component } from "@k3s/lifecycle";
import type { Logger } from "@k3s/log";
import type { CompactOptions } from "./serve-options.ts";

interface AutoCompactionParts extends CompactOptions {
  readonly store: () => Store;
  readonly log: Logger;
}

/** Forgets history by itself every now and then, as kine does with `--compact-interval`. */
export class AutoCompaction implements Component {
  readonly name = "auto-compaction";
  readonly #parts: AutoCompactionParts;
  readonly #stop = new AbortController();
  #running: Promise<void> = Promise.resolve();

  constructor(parts: AutoCompactionParts) {
    this.#parts = parts;
  }

  start(): Promise<void> {
    this.#running = this.#run(this.#stop.signal);
    return Promise.resolve();
  }

  async stop(): Promise<void> {
    this.#stop.abort(new Error("The server stops"));
    await this.#running;
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { intervalMs, jitterPercent, log } = this.#parts;
    for (;;) {
      const factor = 1 + ((Math.random() * 2 - 1) * jitterPercent) / 100;
      await sleep(intervalMs * factor, signal).catch(() => undefined);
      if (signal.aborted) return;
      try {
        await this.#compact();
      } catch (error) {
        log.warn({ error }, "cannot compact, the next interval tries again");
      }
    }
  }

  async #compact(): Promise<void> {
    const { store, minRetain, log } = this.#parts;
    const { revision, compactRevision } = await store().status();
    const target = revision - minRetain;
    if (target <= compactRevision) return;
    await store().compact(target);
    log.info({ revision: target }, "compacted");
  }
}
