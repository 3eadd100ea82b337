import { deadline } from "@k3s/async";
import { DriverError } from "@k3s/datastore";
import type { ConnectGate } from "./connect-gate.ts";
import type { SqlSession } from "./dialect.ts";

interface LaneParts<Session extends SqlSession> {
  readonly gate: ConnectGate<Session>;
  /** A connection unused for this long is closed; 0: never. */
  readonly idleMs: number;
  /** A connection is replaced after this time; 0: never. */
  readonly lifetimeMs: number;
}

/** One connection, made when it is needed, and what runs on it: one task after the other, in the order they were asked. */
export class Lane<Session extends SqlSession> {
  readonly #parts: LaneParts<Session>;
  #current: { readonly session: Session; readonly since: number } | undefined;
  #idle: (AbortSignal & Disposable) | undefined;
  #tail: Promise<unknown> = Promise.resolve();
  #pending = 0;
  #isClosed = false;

  constructor(parts: LaneParts<Session>) {
    this.#parts = parts;
  }

  /** How many tasks run or wait. */
  get pending(): number {
    return this.#pending;
  }

  /** Runs `task` after all that was asked before. Rejects with the error of the task, or that of connecting. */
  async run<T>(task: (session: Session) => Promise<T>): Promise<T> {
    if (this.#isClosed) throw new DriverError("failed", "Cannot use the database: the driver is closed");
    this.#pending++;
    const askedAt = performance.now();
    const done = this.#tail.then(() => this.#run(task, askedAt));
    this.#tail = done.catch(() => undefined);
    try {
      return await done;
    } finally {
      this.#pending--;
    }
  }

  /** Refuses new tasks, lets the asked ones end, and closes the connection. Any number of times. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#tail;
    await this.#drop();
  }

  async #run<T>(task: (session: Session) => Promise<T>, askedAt: number): Promise<T> {
    this.#idle?.[Symbol.dispose]();
    const session = await this.#open(askedAt);
    try {
      return await task(session);
    } finally {
      this.#rest();
    }
  }

  async #open(askedAt: number): Promise<Session> {
    const { gate, lifetimeMs } = this.#parts;
    const { session, since = 0 } = this.#current ?? {};
    if (session?.lost.aborted === true) this.#current = undefined;
    else if (lifetimeMs > 0 && performance.now() - since > lifetimeMs) await this.#drop();
    if (this.#current !== undefined) return this.#current.session;
    // Counted from when it was asked, so that nobody queues up behind a dead database.
    const restMs = askedAt + gate.limitMs - performance.now();
    using limit = deadline(Math.max(restMs, 1), "Waiting for a connection to the database");
    this.#current = { session: await gate.connect(limit), since: performance.now() };
    return this.#current.session;
  }

  #rest(): void {
    const { idleMs } = this.#parts;
    if (idleMs === 0 || this.#pending > 1) return;
    this.#idle = deadline(idleMs, "Idling");
    this.#idle.addEventListener("abort", () => void this.#drop(), { once: true });
  }

  async #drop(): Promise<void> {
    this.#idle?.[Symbol.dispose]();
    const dropped = this.#current;
    this.#current = undefined;
    await dropped?.session.end();
  }
}
