import { nextTurn, retry } from "@k3s/async";
import { failpoint } from "@k3s/failpoints";
import type { Logger } from "@k3s/log";
import type { Driver } from "./driver.ts";
import type { MvccIndex } from "./mvcc-index.ts";
import type { ValueCache } from "./value-cache.ts";

/** How long one slice may keep a commit waiting. Its size follows what the last ones took on this disk. */
const SLICE_MS = 5;
const MIN_SLICE_ROWS = 20;
const MAX_SLICE_ROWS = 2000;
/** Before anything is known of the disk. */
const FIRST_SLICE_ROWS = 100;

interface CompactorParts {
  readonly driver: Driver;
  readonly index: MvccIndex;
  readonly values: ValueCache;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** Removes in the background what lies below the compacted revision. Survives failures of the database. */
export class Compactor {
  readonly #parts: CompactorParts;
  #running: Promise<void> | undefined;
  #again = false;
  #sliceRows = FIRST_SLICE_ROWS;

  constructor(parts: CompactorParts) {
    this.#parts = parts;
  }

  /** Starts a pass, or has the running one go on to the newest compacted revision. */
  kick(): void {
    this.#again = true;
    this.#running ??= this.#passes();
  }

  /** Resolves when nothing is being removed. */
  async idle(): Promise<void> {
    await this.#running;
  }

  async #passes(): Promise<void> {
    const { log, signal } = this.#parts;
    await nextTurn();
    while (this.#again && !signal.aborted) {
      this.#again = false;
      try {
        await this.#pass();
      } catch (error) {
        if (!signal.aborted) log.error({ error }, "cannot remove compacted rows, the next compaction tries again");
      }
    }
    this.#running = undefined;
  }

  async #pass(): Promise<void> {
    const { index, values, log, signal } = this.#parts;
    const startedAt = performance.now();
    let removed = 0;
    for (;;) {
      const garbage = index.garbage(this.#sliceRows);
      if (garbage === undefined) break;
      if (garbage.rows.length > 0) await this.#pruneSlice(garbage.rows);
      failpoint("compact.slice");
      index.sweep(garbage);
      values.forget(garbage.rows);
      removed += garbage.rows.length;
      if (signal.aborted) return;
    }
    if (removed === 0) return;
    await this.#prune([], index.compactRevision);
    void values.trim();
    const durationMs = Math.round(performance.now() - startedAt);
    log.debug({ revision: index.compactRevision, rows: removed, durationMs }, "removed compacted rows");
  }

  async #pruneSlice(rows: readonly number[]): Promise<void> {
    await this.#parts.driver.readyToPrune?.();
    const startedAt = performance.now();
    await this.#prune(rows, 0);
    const elapsedMs = Math.max(performance.now() - startedAt, 0.1);
    // Half of the way at once: a slice that waited behind a slow commit says little.
    const fitting = (rows.length * SLICE_MS) / elapsedMs;
    const next = Math.round((this.#sliceRows + fitting) / 2);
    this.#sliceRows = Math.min(Math.max(next, MIN_SLICE_ROWS), MAX_SLICE_ROWS);
  }

  async #prune(rows: readonly number[], spansUpTo: number): Promise<void> {
    const { driver, log, signal } = this.#parts;
    const policy = {
      delayMinMs: 250,
      delayMaxMs: 30_000,
      onRetry: (error: unknown) => log.warn({ error }, "cannot remove compacted rows, trying again"),
    };
    await retry(() => driver.prune({ rows, spansUpTo }), policy, signal);
  }
}
