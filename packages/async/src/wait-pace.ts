/** What passes sooner is not worth a line. */
const HICCUP_TRIES = 3;
const HICCUP_MS = 2000;
/** Who looks into the log later finds a word there, and a long wait does not fill it. */
const REPEAT_MS = 60_000;

interface FailedTry {
  /** The first has the number 1. */
  readonly attempt: number;
  /** Its cause in one word. */
  readonly code: string;
}

/** When the log is told that something is waited for: soon, once of each new cause, and then about once a minute. Times are ms of a monotonic clock. */
export class WaitPace {
  readonly #startedAt: number;
  readonly #told = new Set<string>();
  #toldAt = 0;

  constructor(now: number) {
    this.#startedAt = now;
  }

  /** How long it has been waited. */
  waitedMs(now: number): number {
    return now - this.#startedAt;
  }

  /** Asked after each try; the log is told where this is true. */
  isDue(now: number, { attempt, code }: FailedTry): boolean {
    const isHiccup = attempt < HICCUP_TRIES && this.waitedMs(now) < HICCUP_MS;
    const isNew = !this.#told.has(code) && !isHiccup;
    const isRepeated = this.#told.size > 0 && now - this.#toldAt >= REPEAT_MS;
    if (!isNew && !isRepeated) return false;
    this.#told.add(code);
    this.#toldAt = now;
    return true;
  }
}
