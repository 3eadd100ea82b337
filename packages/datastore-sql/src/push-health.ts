/** How long an announcement may come after what it announces. */
const LATE_MS = 500;

/**
 * Whether the announcements of a database reach us. A session that listens is not enough: a pooler may take its LISTEN and hand nothing
 * on. The database announces our own commits as well, so a row that we know of and that is not announced tells. kine's rows never are:
 * while kine writes and we do not, this says no, and the database is asked more often.
 */
export class PushHealth {
  readonly #nowMs: () => number;
  #isListening = false;
  #announced = 0;
  /** The oldest row that is there and was not announced yet. */
  #awaited: { readonly row: number; readonly sinceMs: number } | undefined;

  /** `nowMs`: a monotonic clock. */
  constructor(nowMs: () => number = () => performance.now()) {
    this.#nowMs = nowMs;
  }

  get isAlive(): boolean {
    return this.#isListening && (this.#awaited === undefined || this.#nowMs() - this.#awaited.sinceMs < LATE_MS);
  }

  /** A session listens from now on, or none does. */
  listening(isListening: boolean): void {
    this.#isListening = isListening;
    this.#awaited = undefined;
  }

  /** The table has this row, as a commit or a question showed. */
  seen(row: number): void {
    if (this.#isListening && row > this.#announced) this.#awaited ??= { row, sinceMs: this.#nowMs() };
  }

  announced(row: number): void {
    this.#announced = Math.max(this.#announced, row);
    if (this.#awaited !== undefined && this.#awaited.row <= row) this.#awaited = undefined;
  }
}
