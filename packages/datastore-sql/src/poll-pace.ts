/** How long to wait after another program wrote. */
const MIN_MS = 5;
/** How long after a while without that: reading what is found has to fit into a tenth of a second as well. */
const MAX_MS = 50;
/** The same where the database pushes: only kine's rows come without a word. */
const MAX_BESIDE_PUSH_MS = 100;
/** How fast the asking calms down: each wait is a twentieth of the time since the last change. */
const GROWTH = 1.05;

/** How often a database is asked whether another program wrote. */
export class PollPace {
  readonly #maxMs: number;
  #delayMs: number;

  constructor({ isPushed }: { readonly isPushed: boolean }) {
    this.#maxMs = isPushed ? MAX_BESIDE_PUSH_MS : MAX_MS;
    this.#delayMs = this.#maxMs;
  }

  /** How long to wait before the next question, in ms. */
  get delayMs(): number {
    return this.#delayMs;
  }

  /** Takes an answer into account: whether another program wrote. */
  note(isGrown: boolean): void {
    this.#delayMs = isGrown ? MIN_MS : Math.min(this.#delayMs * GROWTH, this.#maxMs);
  }
}
