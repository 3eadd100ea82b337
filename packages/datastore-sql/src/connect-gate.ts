import { deadline, sleep } from "@k3s/async";
import type { Dialect, SqlSession } from "./dialect.ts";

const DELAY_MIN_MS = 20;
/** Longest wait between two attempts: a database that is back is noticed after at most this time. */
const DELAY_MAX_MS = 500;

/** The one way to the database. While it cannot be reached, attempts are spaced out; the first repetition is fast. */
export class ConnectGate<Session extends SqlSession> {
  readonly #dialect: Dialect<Session>;
  #failures = 0;
  #failedAt = 0;

  constructor(dialect: Dialect<Session>) {
    this.#dialect = dialect;
  }

  /** How long one attempt may take, in ms. */
  get limitMs(): number {
    return this.#dialect.connectLimitMs;
  }

  /** Waits for its turn and connects. Rejects with the library's error, or the reason of `signal`. */
  async connect(signal: AbortSignal): Promise<Session> {
    const delayMs = this.#failures === 0 ? 0 : Math.min(DELAY_MIN_MS * 2 ** this.#failures, DELAY_MAX_MS);
    const restMs = this.#failedAt + delayMs - performance.now();
    if (restMs > 0) await sleep(restMs, signal);
    using limit = deadline(this.limitMs, `Connecting to ${this.#dialect.product}`, signal);
    try {
      const session = await this.#dialect.connect(limit);
      this.#failures = 0;
      return session;
    } catch (error) {
      this.#failures = Math.min(this.#failures + 1, 10);
      this.#failedAt = performance.now();
      throw error;
    }
  }
}
