import { deadline } from "@k3s/async";
import { isForeign } from "@k3s/cluster-client";
import { describeError } from "@k3s/errors";
import { ApiError } from "@k3s/kube-client";
import type { Logger } from "@k3s/log";

/** Of one request, connecting included: news that come later are found by asking the database. */
const LIMIT_MS = 2000;
const REST_MIN_MS = 1000;
const REST_MAX_MS = 30_000;
/** A server that does not know the path has to be replaced before it does. */
const UNKNOWN_PATH_REST_MS = 600_000;

export interface HintedServerOptions {
  /** Tells the server of a row. Rejects with ApiError when it says no. */
  readonly send: (lastRow: number, signal: AbortSignal) => Promise<void>;
  /** Nothing is sent any more. */
  readonly onClose: () => void;
  readonly onOutcome: (outcome: "sent" | "failed") => void;
  /** A monotonic clock. Default: that of the process. */
  readonly nowMs?: () => number;
  readonly log: Logger;
}

/**
 * Another server, which is told of the newest row: one request at a time, whatever is written meanwhile. One that does not answer is
 * left alone for a while; what it was not told it finds by asking the database.
 */
export class HintedServer {
  readonly #options: HintedServerOptions;
  readonly #gone = new AbortController();
  readonly #nowMs: () => number;
  #lastRow = 0;
  #toldRow = 0;
  #restMs = REST_MIN_MS;
  #restsUntilMs = Number.NEGATIVE_INFINITY;
  #isTalking = false;
  #talking: Promise<void> = Promise.resolve();

  constructor(options: HintedServerOptions) {
    this.#options = options;
    this.#nowMs = options.nowMs ?? (() => performance.now());
  }

  /** Never waits. */
  tell(lastRow: number): void {
    this.#lastRow = Math.max(this.#lastRow, lastRow);
    if (!this.#isTalking && this.#hasNews) this.#talking = this.#talk();
  }

  /** Says no more; gives a request under way up. Any number of times. */
  async close(): Promise<void> {
    this.#gone.abort(new Error("it is being stopped"));
    await this.#talking;
    this.#options.onClose();
  }

  get #hasNews(): boolean {
    return this.#lastRow > this.#toldRow && !this.#gone.signal.aborted && this.#nowMs() >= this.#restsUntilMs;
  }

  /** Never rejects. */
  async #talk(): Promise<void> {
    this.#isTalking = true;
    while (this.#hasNews) await this.#say(this.#lastRow);
    this.#isTalking = false; // in the same turn as the last look: what is told now begins anew
  }

  async #say(lastRow: number): Promise<void> {
    const { send, onOutcome } = this.#options;
    using limit = deadline(LIMIT_MS, "Telling another server of a commit", this.#gone.signal);
    try {
      await send(lastRow, limit);
      this.#toldRow = lastRow;
      this.#restMs = REST_MIN_MS;
      onOutcome("sent");
    } catch (error) {
      if (this.#gone.signal.aborted) return;
      onOutcome("failed");
      this.#rest(error);
    }
  }

  #rest(error: unknown): void {
    const isUnknown = error instanceof ApiError && error.status === 404;
    if (isUnknown || this.#restMs === REST_MIN_MS) this.#report(error);
    this.#restsUntilMs = this.#nowMs() + (isUnknown ? UNKNOWN_PATH_REST_MS : this.#restMs);
    this.#restMs = Math.min(this.#restMs * 2, REST_MAX_MS);
  }

  /** A server that is away is nothing to do about here; one that is not of this cluster is. */
  #report(error: unknown): void {
    const reason = describeError(error);
    this.#options.log.log(isForeign(error) ? "warn" : "debug", { reason }, "this server cannot be told of commits");
  }
}
