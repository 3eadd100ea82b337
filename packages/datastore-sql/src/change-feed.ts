import { aborted, deadline, Latest, sleep } from "@k3s/async";
import { ConnectionUse, sumConnections, type CommitHints, type ConnectionStats, type Position } from "@k3s/datastore";
import type { Logger } from "@k3s/log";
import type { ConnectGate } from "./connect-gate.ts";
import type { Announcement, Dialect, SqlSession } from "./dialect.ts";
import { limited } from "./limited.ts";
import { POLL_MIN_MS, PollPace } from "./poll-pace.ts";
import { PushHealth } from "./push-health.ts";
import { ReconnectPace } from "./reconnect-pace.ts";

const PING_MS = 15_000;
const PING_LIMIT_MS = 5000;
const LISTEN_LIMIT = { what: "Asking the database to tell of changes", ms: 5000 };
/** Longest wait before it listens again where the database lets it in and then refuses or ends it. */
const LISTEN_DELAY_MAX_MS = 5000;
const REFUSAL_HINT =
  "Let the endpoint lead to the primary itself, or through a pooler that does not refuse to listen; it is tried again by itself";

interface ChangeFeedParts<Session extends SqlSession> {
  readonly dialect: Dialect<Session>;
  readonly gate: ConnectGate<Session>;
  readonly position: () => Promise<Position>;
  /** Instead of the longest waits that are usual. */
  readonly pollMs: number | undefined;
  /** How often a connection that listens is looked after. Default 15 s. */
  readonly pingMs?: number;
  readonly log: Logger;
}

/**
 * Notices that another program wrote: the database pushes it where it can, and is polled for whoever does not say so. Other servers may
 * tell of their commits, and are told of ours, where it does not push.
 */
export class ChangeFeed<Session extends SqlSession> implements CommitHints {
  readonly #parts: ChangeFeedParts<Session>;
  readonly #stop = new AbortController();
  readonly #use = new ConnectionUse();
  readonly #push = new PushHealth();
  readonly #listenPace = new ReconnectPace(LISTEN_DELAY_MAX_MS);
  /** The newest row that others told of since the database was asked. */
  readonly #hinted = new Latest(0);
  #listener: (() => void) | undefined;
  #commitListener: ((lastRow: number) => void) | undefined;
  #running: Promise<unknown> | undefined;
  /** Last row that we wrote or heard of. */
  #known = 0;
  /** Last row of the commit that is under way. */
  #writing = 0;
  #compacted = 0;
  /** The log was told that the database does not let us listen. */
  #isRefusalTold = false;

  constructor(parts: ChangeFeedParts<Session>) {
    this.#parts = parts;
  }

  /** Begins with the first listener; another one replaces it. */
  start(listener: () => void): void {
    this.#listener = listener;
    if (this.#stop.signal.aborted) return;
    this.#running ??= Promise.all([this.#poll(), this.#listen()]);
  }

  onCommit(listener: (lastRow: number) => void): void {
    this.#commitListener = listener;
  }

  take(lastRow: number): void {
    if (lastRow > this.#hinted.get()) this.#hinted.set(lastRow);
  }

  /** Makes a commit of ours up to the row `lastRow` (0: without rows), which is no news to us. It resolves with whether it was written. */
  async carry(lastRow: number, commit: () => Promise<boolean>): Promise<boolean> {
    this.#writing = lastRow;
    try {
      const isWritten = await commit();
      if (isWritten && lastRow > 0) this.#committed(lastRow);
      return isWritten;
    } finally {
      this.#writing = 0; // the row may be somebody else's
    }
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
    const pace = new PollPace({ isPushed: () => this.#push.isAlive, maxMs: this.#parts.pollMs });
    while (!signal.aborted) {
      await this.#pause(pace.delayMs).catch(() => undefined);
      if (signal.aborted) return;
      this.#hinted.set(0); // what is hinted at from now on, the answer may not show
      // A failure is the business of those who need the database; whoever waits for changes hears when it is back.
      const position = await this.#parts.position().catch(() => undefined);
      const isGrown = position !== undefined && this.#isNews(position.lastRow);
      const isCompacted = position !== undefined && position.compactRevision > this.#compacted;
      pace.note(isGrown);
      if (isGrown) this.#push.seen(position.lastRow);
      if (isCompacted) this.#compacted = position.compactRevision;
      if (isGrown || isCompacted) this.#tell(position.lastRow);
    }
  }

  /** A hint cuts it short, though never below the shortest one: hints that are wrong must not cost more than a busy database does. */
  async #pause(ms: number): Promise<void> {
    const { signal } = this.#stop;
    await sleep(Math.min(ms, POLL_MIN_MS), signal);
    if (ms <= POLL_MIN_MS) return;
    using end = deadline(ms - POLL_MIN_MS, "The pause", signal);
    await this.#hinted.until((row) => this.#isNews(row), end);
  }

  async #listen(): Promise<void> {
    const { dialect, gate, log } = this.#parts;
    const { signal } = this.#stop;
    if (dialect.listen === undefined) return;
    while (!signal.aborted) {
      try {
        await sleep(Math.max(this.#listenPace.restMs(performance.now()), 0), signal);
        await this.#listenOn(await gate.connect(signal));
      } catch (error) {
        if (!signal.aborted) log.debug({ error }, "cannot listen for changes, trying again");
      }
    }
  }

  /** Until the session is lost, or the database refuses it: the gate does not space out what comes after a connection that worked. */
  async #listenOn(session: Session): Promise<void> {
    const { pingMs = PING_MS } = this.#parts;
    const { signal } = this.#stop;
    this.#use.opened();
    this.#use.ask(); // it listens all the time
    try {
      await this.#beginListening(session);
      this.#push.listening(true);
      this.#tell(0); // whatever was written while nobody listened
      while (!signal.aborted && !session.lost.aborted) {
        await sleep(pingMs, AbortSignal.any([signal, session.lost])).catch(() => undefined);
        if (signal.aborted) return;
        await this.#ping(session);
        if (session.lost.aborted) return;
        this.#listenPace.worked();
        this.#isRefusalTold = false;
      }
    } finally {
      this.#listenPace.failed(performance.now());
      this.#push.listening(false);
      this.#use.end();
      this.#use.closed();
      await session.end();
    }
  }

  async #beginListening(session: Session): Promise<void> {
    const { dialect, log } = this.#parts;
    const { signal } = this.#stop;
    const onChange = ({ lastRow, isOwn }: Announcement): void => {
      this.#push.announced(lastRow);
      if (isOwn) this.#note(lastRow);
      else this.#tell(lastRow);
    };
    const drop = () => session.destroy(new Error("The driver is closed"));
    signal.addEventListener("abort", drop, { once: true });
    try {
      const answer = limited(session, LISTEN_LIMIT, async () => dialect.listen?.(session, onChange));
      answer.catch(() => undefined); // nobody hears it after a stop
      await Promise.race([answer, aborted(signal)]);
      signal.throwIfAborted();
    } catch (error) {
      if (!this.#isRefusalTold && !session.lost.aborted) {
        this.#isRefusalTold = true;
        log.warn({ error, hint: REFUSAL_HINT }, "the database does not tell of changes: it is asked for them instead");
      }
      throw error;
    } finally {
      signal.removeEventListener("abort", drop);
    }
  }

  /** A connection that was cut without a word is found by asking. */
  async #ping(session: Session): Promise<void> {
    using limit = deadline(PING_LIMIT_MS, "A ping of the database");
    limit.addEventListener("abort", () => session.destroy(new Error("The database did not answer")), { once: true });
    await Promise.race([this.#parts.dialect.position(session), aborted(limit)]);
  }

  #committed(lastRow: number): void {
    this.#note(lastRow);
    this.#push.seen(lastRow);
    if (!this.#push.isAlive) this.#commitListener?.(lastRow);
  }

  #tell(lastRow: number): void {
    this.#note(lastRow);
    this.#listener?.();
  }

  #note(lastRow: number): void {
    this.#known = Math.max(this.#known, lastRow);
  }

  #isNews(row: number): boolean {
    return row > Math.max(this.#known, this.#writing);
  }
}
