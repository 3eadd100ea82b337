import { deadline } from "@k3s/async";
import { CLAIM_LIMIT_MS, type Claim, type CommitBatch } from "@k3s/datastore";
import { commitLimitMs, WRITE_LIMIT_MS } from "./commit-limit.ts";
import type { Dialect, SqlSession } from "./dialect.ts";
import type { Fence } from "./fence.ts";
import type { Lane } from "./lane.ts";
import { limited } from "./limited.ts";

/** For taking and giving back the lock. */
const LOCK_LIMIT = { what: "A commit", ms: WRITE_LIMIT_MS };

interface ClaimDeskParts<Session extends SqlSession> {
  readonly dialect: Dialect<Session>;
  readonly fence: Fence<Session>;
  readonly lane: Lane<Session>;
}

/** What the session that has the lock does next: with a batch it commits, without one it only gives the lock back. */
type Step = { readonly kind: "keep" } | { readonly kind: "end"; readonly batch: CommitBatch | undefined };

/** A claim that was asked: first it waits for the lock, then it holds the lane until its commit, its release or its end of time. */
class HeldClaim {
  readonly granted = Promise.withResolvers<void>();
  readonly outcome = Promise.withResolvers<boolean>();
  isOver = false;
  #woken = Promise.withResolvers<void>();
  #end: Step | undefined;

  constructor() {
    for (const { promise } of [this.granted, this.outcome]) promise.catch(() => undefined); // whoever waits hears it
  }

  /** Resolves once it is asked to be kept, or its end was decided. */
  async next(): Promise<Step> {
    await this.#woken.promise;
    this.#woken = Promise.withResolvers<void>();
    return this.#end ?? { kind: "keep" };
  }

  /** Begins its time anew, unless it has ended. */
  keep(): void {
    this.#woken.resolve();
  }

  /** Decides how it ends, once. */
  decide(batch: CommitBatch | undefined): void {
    this.isOver = true;
    this.#end ??= { kind: "end", batch };
    this.#woken.resolve();
  }
}

/** Commits in their order, each in a transaction of its own or in that of a claim before it. */
export class ClaimDesk<Session extends SqlSession> {
  readonly #parts: ClaimDeskParts<Session>;
  #held: HeldClaim | undefined;

  constructor(parts: ClaimDeskParts<Session>) {
    this.#parts = parts;
  }

  /** Answers false when the last row is another one. Rejects with what the library throws. */
  async commit(batch: CommitBatch): Promise<boolean> {
    const held = this.#held;
    if (held === undefined || held.isOver) return this.#parts.lane.run((session) => this.#write(session, batch));
    held.decide(batch);
    return held.outcome.promise;
  }

  async claim(): Promise<Claim> {
    const held = this.#held?.isOver === false ? this.#held : this.#begin();
    await held.granted.promise;
    return {
      keep: () => {
        if (!held.isOver) held.keep();
        return Promise.resolve();
      },
      release: async () => {
        if (!held.isOver) held.decide(undefined);
        await held.outcome.promise.catch(() => undefined);
      },
    };
  }

  #begin(): HeldClaim {
    const held = new HeldClaim();
    this.#held = held;
    this.#parts.lane
      .run((session) => this.#hold(session, held))
      .catch((error: unknown) => {
        held.isOver = true;
        held.granted.reject(error);
        held.outcome.reject(error);
      });
    return held;
  }

  async #hold(session: Session, held: HeldClaim): Promise<void> {
    const { dialect } = this.#parts;
    await limited(session, LOCK_LIMIT, () => dialect.lock(session));
    held.granted.resolve();
    session.lost.addEventListener("abort", () => held.decide(undefined), { once: true });
    const batch = await this.#endOf(session, held);
    if (batch !== undefined) held.outcome.resolve(await this.#write(session, batch));
    else {
      await limited(session, LOCK_LIMIT, () => dialect.unlock(session));
      held.outcome.resolve(false);
    }
  }

  /** Resolves with what is to be committed in its transaction, once that is decided or its time is over. */
  async #endOf(session: Session, held: HeldClaim): Promise<CommitBatch | undefined> {
    for (;;) {
      using end = deadline(CLAIM_LIMIT_MS, "A claim");
      end.addEventListener("abort", () => held.decide(undefined), { once: true });
      const step = await held.next();
      if (step.kind === "end") return step.batch;
      // Databases end a transaction in which nothing is asked for three seconds.
      await limited(session, LOCK_LIMIT, () => this.#parts.dialect.clockMs(session));
    }
  }

  #write(session: Session, batch: CommitBatch): Promise<boolean> {
    const limit = { what: "A commit", ms: commitLimitMs(batch) };
    return limited(session, limit, () => this.#parts.fence.commit(session, batch));
  }
}
