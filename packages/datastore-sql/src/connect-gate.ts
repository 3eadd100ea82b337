import { deadline, sleep } from "@k3s/async";
import type { Dialect, SqlSession } from "./dialect.ts";
import { ReconnectPace } from "./reconnect-pace.ts";

/** The one way to the database. While it cannot be reached, attempts are spaced out; the first repetition is fast. */
export class ConnectGate<Session extends SqlSession> {
  readonly #dialect: Dialect<Session>;
  readonly #pace = new ReconnectPace();

  constructor(dialect: Dialect<Session>) {
    this.#dialect = dialect;
  }

  /** How long one attempt may take, in ms. */
  get limitMs(): number {
    return this.#dialect.connectLimitMs;
  }

  /** Waits for its turn and connects. Rejects with the library's error, or the reason of `signal`. */
  async connect(signal: AbortSignal): Promise<Session> {
    const restMs = this.#pace.restMs(performance.now());
    if (restMs > 0) await sleep(restMs, signal);
    using limit = deadline(this.limitMs, `Connecting to ${this.#dialect.product}`, signal);
    try {
      const session = await this.#dialect.connect(limit);
      this.#pace.worked();
      return session;
    } catch (error) {
      this.#pace.failed(performance.now());
      throw error;
    }
  }
}
