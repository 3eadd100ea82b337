import { aborted, deadline, sleep } from "@k3s/async";
import { ConnectionUse, sumConnections, type ConnectionStats, type Position } from "@k3s/datastore";
import type { Logger } from "@k3s/log";
import type { ConnectGate } from "./connect-gate.ts";
import type { Dialect, SqlSession } from "./dialect.ts";
import { PollPace } from "./poll-pace.ts";

const PING_MS = 15_000;
const PING_LIMIT_MS = 5000;

interface ChangeFeedParts<Session extends SqlSession> {
  readonly dialect: Dialect<Session>;
  readonly gate: ConnectGate<Session>;
  readonly position: () => Promise<Position>;
  readonly log: Logger;
}

/** Notices that another program wrote: the database pushes it where it can, and is polled for whoever does not say so. */
export class ChangeFeed<Session extends SqlSession> {
  readonly #parts: ChangeFeedParts<Session>;
  readonly #stop = new AbortController();
  readonly #use = new ConnectionUse();
  #listener: (() => void) | undefined;
  #running: Promise<unknown> | undefined;
  /** Last row that we wrote or heard of. */
  #known = 0;
  #compacted = 0;

  constructor(parts: ChangeFeedParts<Session>) {
    this.#parts = parts;
  }

  /** Begins with the first listener; another one replaces it. */
  start(listener: () => void): void {
    this.#listener = listener;
    if (this.#stop.signal.aborted) return;
    this.#running ??= Promise.all([this.#poll(), this.#listen()]);
  }

  /** Rows up to here are our own, or are read anyway. */
  note(lastRow: number): void {
    this.#known = Math.max(this.#known, lastRow);
  }

  /** Of the connection on which it listens; none where the database does not push. */
  stats(): ConnectionStats {
    return sumConnections(this.#parts.dialect.listen === undefined ? [] : [this.#use.stats()]);
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #poll(): Promise<void> {
    const { signal } = this.#stop;
    const pace = new PollPace({ isPushed: this.#parts.dialect.listen !== undefined });
    while (!signal.aborted) {
      await sleep(pace.delayMs, signal).catch(() => undefined);
      if (signal.aborted) return;
      // A failure is the business of those who need the database; whoever waits for changes hears when it is back.
      const position = await this.#parts.position().catch(() => undefined);
      const isGrown = position !== undefined && position.lastRow > this.#known;
      const isCompacted = position !== undefined && position.compactRevision > this.#compacted;
      pace.note(isGrown);
      if (isCompacted) this.#compacted = position.compactRevision;
      if (isGrown || isCompacted) this.#tell(position.lastRow);
    }
  }

  async #listen(): Promise<void> {
    const { dialect } = this.#parts;
    if (dialect.listen === undefined) return;
    while (!this.#stop.signal.aborted) {
      await this.#listenOnce().catch((error: unknown) => {
        if (!this.#stop.signal.aborted) this.#parts.log.debug({ error }, "cannot listen for changes, trying again");
      });
    }
  }

  async #listenOnce(): Promise<void> {
    const { dialect, gate } = this.#parts;
    const { signal } = this.#stop;
    const session = await gate.connect(signal);
    this.#use.opened();
    this.#use.ask(); // it listens all the time
    try {
      await dialect.listen?.(session, ({ lastRow, isOwn }) => {
        if (isOwn) this.note(lastRow);
        else this.#tell(lastRow);
      });
      this.#tell(0); // whatever was written while nobody listened
      while (!signal.aborted && !session.lost.aborted) {
        await sleep(PING_MS, AbortSignal.any([signal, session.lost])).catch(() => undefined);
        if (!signal.aborted) await this.#ping(session);
      }
    } finally {
      this.#use.end();
      this.#use.closed();
      await session.end();
    }
  }

  /** A connection that was cut without a word is found by asking. */
  async #ping(session: Session): Promise<void> {
    using limit = deadline(PING_LIMIT_MS, "A ping of the database");
    limit.addEventListener("abort", () => session.destroy(new Error("The database did not answer")), { once: true });
    await Promise.race([this.#parts.dialect.position(session), aborted(limit)]);
  }

  #tell(lastRow: number): void {
    this.note(lastRow);
    this.#listener?.();
  }
}
