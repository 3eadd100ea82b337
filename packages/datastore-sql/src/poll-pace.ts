/** How long to wait after another program wrote, and between two questions at least. */
export const POLL_MIN_MS = 5;
/** How long after a while without that: reading what is found has to fit into a tenth of a second as well. */
const MAX_MS = 50;
/** The same where the database pushes: only kine's rows come without a word. */
const MAX_BESIDE_PUSH_MS = 100;
/** How fast the asking calms down: each wait is a twentieth of the time since the last change. */
const GROWTH = 1.05;

interface PollPaceOptions {
  /** Whether the database tells of commits by itself at the moment. */
  readonly isPushed: () => boolean;
  /** Instead of the longest waits that are usual. */
  readonly maxMs?: number | undefined;
}

/** How often a database is asked whether another program wrote. */
export class PollPace {
  readonly #options: PollPaceOptions;
  #delayMs: number;

  constructor(options: PollPaceOptions) {
    this.#options = options;
    this.#delayMs = this.#maxMs;
  }

  /** How long to wait before the next question, in ms. */
  get delayMs(): number {
    return Math.min(this.#delayMs, this.#maxMs);
  }

  /** Takes an answer into account: whether another program wrote. */
  note(isGrown: boolean): void {
    this.#delayMs = isGrown ? POLL_MIN_MS : Math.min(this.#delayMs * GROWTH, this.#maxMs);
  }

  get #maxMs(): number {
    const { isPushed, maxMs } = this.#options;
    return maxMs ?? (isPushed() ? MAX_BESIDE_PUSH_MS : MAX_MS);
  }
}
