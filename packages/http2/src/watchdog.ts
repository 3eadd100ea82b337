import type { Limits } from "./limits.ts";

export interface ConnectionState {
  /** The client's preface is complete. */
  readonly isOpen: boolean;
  /** A header section has begun and not ended. */
  readonly isMidHeaders: boolean;
  readonly hasStreams: boolean;
  /** Bytes of bodies that wait. */
  readonly queuedBytes: number;
  /** Changes when some of them are sent. */
  readonly progress: number;
}

export type Verdict = "fine" | "ping" | "leave" | "cut";

/** Knows how long a connection may do nothing. Looked at from time to time; asks no clock itself. */
export class Watchdog {
  readonly #limits: Limits;
  #heardAt: number;
  #busyAt: number;
  #movedAt: number;
  #settledAt: number;
  #pingedAt = Infinity;
  #progress = 0;
  #hasHeard = false;

  /** Times are milliseconds of a monotonic clock. */
  constructor(limits: Limits, now: number) {
    this.#limits = limits;
    this.#heardAt = now;
    this.#busyAt = now;
    this.#movedAt = now;
    this.#settledAt = now;
  }

  /** When something was sent last, or nothing waited, as the last check knew. */
  get movedAt(): number {
    return this.#movedAt;
  }

  /** Something came in. */
  heard(): void {
    this.#hasHeard = true;
  }

  /** What to do about the connection now; "ping" and "leave" once each. */
  check(now: number, state: ConnectionState): Verdict {
    this.#note(now, state);
    const { prefaceMs, stallMs, idleMs, keepaliveMs, keepaliveTimeoutMs } = this.#limits;
    if (now - this.#settledAt > prefaceMs || now - this.#movedAt > stallMs) return "cut";
    if (now - this.#pingedAt > keepaliveTimeoutMs) return "cut";
    if (now - this.#busyAt > idleMs) return "leave";
    if (now - this.#heardAt <= keepaliveMs || this.#pingedAt !== Infinity) return "fine";
    this.#pingedAt = now;
    return "ping";
  }

  #note(now: number, { isOpen, isMidHeaders, hasStreams, queuedBytes, progress }: ConnectionState): void {
    if (this.#hasHeard) {
      this.#hasHeard = false;
      this.#heardAt = now;
      this.#pingedAt = Infinity;
    }
    if (isOpen && !isMidHeaders) this.#settledAt = now;
    if (hasStreams) this.#busyAt = now;
    if (queuedBytes === 0 || progress !== this.#progress) this.#movedAt = now;
    this.#progress = progress;
  }
}
