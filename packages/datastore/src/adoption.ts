import { retry } from "@k3s/async";
import type { Logger } from "@k3s/log";
import type { Committer } from "./committer.ts";
import type { Leases } from "./leases.ts";
import type { MvccIndex } from "./mvcc-index.ts";
import type { Unleased } from "./row-reader.ts";
import { StoreError, type StoreErrorReason } from "./store-errors.ts";

/** Keys in one commit. */
const MAX_KEYS = 1000;

/** What is over some day. */
const PASSING: ReadonlySet<StoreErrorReason> = new Set<StoreErrorReason>(["unavailable", "noSpace"]);

interface AdoptionParts {
  readonly committer: Pick<Committer, "run">;
  readonly leases: Leases;
  readonly index: MvccIndex;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** Gives leases to keys that kine wrote with a time to live only: by changes as any other, one after the other, beside those of clients. */
export class Adoption {
  readonly #parts: AdoptionParts;
  #waiting: Unleased[] = [];
  #isRunning = false;

  constructor(parts: AdoptionParts) {
    this.#parts = parts;
  }

  /** For what was there at the start. Rejects as a commit does. */
  async begin(unleased: readonly Unleased[]): Promise<void> {
    if (unleased.length === 0) return;
    for (let i = 0; i < unleased.length; i += MAX_KEYS) await this.#adopt(unleased.slice(i, i + MAX_KEYS));
    this.#parts.log.info({ keys: unleased.length }, "gave leases to keys that were written with a time to live only");
  }

  /** For what was written since: tried until it is done, it cannot be done, or the store closes. */
  add(unleased: readonly Unleased[]): void {
    this.#parts.leases.expect(unleased);
    this.#waiting.push(...unleased);
    if (!this.#isRunning) void this.#run();
  }

  async #run(): Promise<void> {
    const { log, signal } = this.#parts;
    const onRetry = (error: unknown) => log.debug({ error }, "cannot give leases to keys yet");
    const isRetryable = (error: unknown) => error instanceof StoreError && PASSING.has(error.reason);
    this.#isRunning = true;
    while (this.#waiting.length > 0 && !signal.aborted) {
      const keys = this.#waiting.splice(0, MAX_KEYS);
      try {
        await retry(() => this.#adopt(keys), { delayMinMs: 50, delayMaxMs: 5000, onRetry, isRetryable }, signal);
      } catch (error) {
        if (!signal.aborted)
          log.warn({ error, keys: keys.length }, "cannot give leases to keys: they stay until the next start");
      }
    }
    this.#isRunning = false;
  }

  async #adopt(unleased: readonly Unleased[]): Promise<void> {
    const { committer, leases, index } = this.#parts;
    await committer.run(() => leases.adopt(unleased.filter(({ version }) => index.newest(version.key) === version)));
    leases.expectNoMore(unleased);
  }
}
