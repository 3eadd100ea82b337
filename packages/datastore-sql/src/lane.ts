import { deadline } from "@k3s/async";
import { ConnectionUse, DriverError, type ConnectionStats } from "@k3s/datastore";
import type { ConnectGate } from "./connect-gate.ts";
import type { SqlSession } from "./dialect.ts";

/** How long a connection that is not to idle stays open for what comes right after. */
const SPARE_MS = 1;

interface LaneParts<Session extends SqlSession> {
  readonly gate: ConnectGate<Session>;
  /** A connection unused for this long is closed; 0: never. */
  readonly idleMs: number;
  /** A connection is replaced after this time; 0: never. */
  readonly lifetimeMs: number;
  /** Whether it is above the number of connections that may idle. Default false. */
  readonly isSpare?: boolean;
}

/** One connection, made when it is needed, and what runs on it: one task after the other, in the order they were asked. */
export class Lane<Session extends SqlSession> {
  readonly #parts: LaneParts<Session>;
  readonly #use = new ConnectionUse();
  #current: { readonly session: Session; readonly since: number } | undefined;
  #idle: (AbortSignal & Disposable) | undefined;
  #tail: Promise<unknown> = Promise.resolve();
  #isClosed = false;

  constructor(parts: LaneParts<Session>) {
    this.#parts = parts;
  }

  /** How many tasks run or wait. */
  get pending(): number {
    return this.#use.pending;
  }

  stats(): ConnectionStats {
    return this.#use.stats();
  }

  /** Runs `task` after all that was asked before. Rejects with the error of the task, or that of connecting. */
  async run<T>(task: (session: Session) => Promise<T>): Promise<T> {
    if (this.#isClosed) throw new DriverError("failed", "Cannot use the database: the driver is closed");
    this.#use.ask();
    const askedAt = performance.now();
    const done = this.#tail.then(() => this.#run(task, askedAt));
    this.#tail = done.catch(() => undefined);
    try {
      return await done;
    } finally {
      this.#use.end();
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
    else if (lifetimeMs > 0 && performance.now() - since > lifetimeMs) await this.#drop("old");
    if (this.#current !== undefined) return this.#current.session;
    // Counted from when it was asked, so that nobody queues up behind a dead database.
    const restMs = askedAt + gate.limitMs - performance.now();
    using limit = deadline(Math.max(restMs, 1), "Waiting for a connection to the database");
    const opened = await gate.connect(limit);
    this.#current = { session: opened, since: performance.now() };
    this.#use.opened();
    const lost = () => {
      if (this.#current?.session === opened) this.#use.closed();
    };
    opened.lost.addEventListener("abort", lost, { once: true });
    return this.#current.session;
  }

  #rest(): void {
    const { isSpare = false } = this.#parts;
    const idleMs = isSpare ? SPARE_MS : this.#parts.idleMs;
    if (idleMs === 0 || this.#use.pending > 1) return;
    this.#idle = deadline(idleMs, "Idling");
    this.#idle.addEventListener("abort", () => void this.#drop(isSpare ? "spare" : "idle"), { once: true });
  }

  async #drop(reason?: "spare" | "idle" | "old"): Promise<void> {
    this.#idle?.[Symbol.dispose]();
    const dropped = this.#current;
    this.#current = undefined;
    if (dropped === undefined) return;
    this.#use.closed(dropped.session.lost.aborted ? undefined : reason);
    await dropped.session.end();
  }
}
