import { deadline } from "@k3s/async";
import { CLAIM_LIMIT_MS, type Claim, type ClaimScope, type CommitBatch } from "@k3s/datastore";
import { failpoint } from "@k3s/failpoints";
import { commitLimitMs, WRITE_LIMIT_MS } from "./commit-limit.ts";
import type { Dialect, SqlSession } from "./dialect.ts";
import type { Fence } from "./fence.ts";
import type { Lane } from "./lane.ts";
import { limited } from "./limited.ts";

/** For taking and giving back the lock. */
const LOCK_LIMIT = { what: "A commit", ms: WRITE_LIMIT_MS };
const QUESTION_LIMIT = { what: "A question under a claim", ms: WRITE_LIMIT_MS };

interface ClaimDeskParts<Session extends SqlSession> {
  readonly dialect: Dialect<Session>;
  readonly fence: Fence<Session>;
  readonly lane: Lane<Session>;
}

/** Something to be asked while the lock is held. */
interface Question<Session> {
  /** Never rejects: whoever asks hears the answer by itself. Resolves with whether it worked. */
  readonly ask: (session: Session) => Promise<boolean>;
  readonly refuse: (error: unknown) => void;
  /** Whether the time of the claim begins anew. */
  readonly keeps: boolean;
}

/** What the session that has the lock does next: with a batch it commits, without one it only gives the lock back. */
type Step<Session> =
  | { readonly kind: "ask"; readonly question: Question<Session> }
  | { readonly kind: "end"; readonly batch: CommitBatch | undefined };

/** A claim that was asked: first it waits for the lock, then it holds the lane until its commit, its release or its end of time. */
class HeldClaim<Session> {
  readonly scope: ClaimScope;
  readonly granted = Promise.withResolvers<void>();
  readonly outcome = Promise.withResolvers<boolean>();
  /** Whom it keeps back; undefined before it is granted. */
  holds: ClaimScope | undefined;
  isOver = false;
  #asked: Question<Session> | undefined;
  readonly #questions: Question<Session>[] = [];
  #woken = Promise.withResolvers<void>();
  #end: Step<Session> | undefined;

  constructor(scope: ClaimScope) {
    this.scope = scope;
    for (const { promise } of [this.granted, this.outcome]) promise.catch(() => undefined); // whoever waits hears it
  }

  /** Resolves once there is something to ask, or its end was decided. */
  async next(): Promise<Step<Session>> {
    for (;;) {
      const question = this.#questions.shift();
      this.#asked = question;
      if (question !== undefined) return { kind: "ask", question };
      if (this.#end !== undefined) return this.#end;
      await this.#woken.promise;
      this.#woken = Promise.withResolvers<void>();
    }
  }

  /** Asks in its transaction. It must not be over. */
  ask<T>(task: (session: Session) => Promise<T>, { keeps }: { readonly keeps: boolean }): Promise<T> {
    const answer = Promise.withResolvers<T>();
    const ask = (session: Session) =>
      task(session).then(
        (given) => {
          answer.resolve(given);
          return true;
        },
        (error: unknown) => {
          answer.reject(error);
          return false;
        },
      );
    this.#questions.push({ ask, refuse: answer.reject, keeps });
    this.#woken.resolve();
    return answer.promise;
  }

  /** Decides how it ends, once. */
  decide(batch: CommitBatch | undefined): void {
    this.isOver = true;
    this.#end ??= { kind: "end", batch };
    this.#woken.resolve();
  }

  fail(error: unknown): void {
    this.isOver = true;
    this.granted.reject(error);
    this.outcome.reject(error);
    this.#asked?.refuse(error);
    for (const { refuse } of this.#questions.splice(0)) refuse(error);
  }
}

/** Commits in their order, each in a transaction of its own or in that of a claim before it. */
export class ClaimDesk<Session extends SqlSession> {
  readonly #parts: ClaimDeskParts<Session>;
  #held: HeldClaim<Session> | undefined;

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

  async claim(scope: ClaimScope): Promise<Claim> {
    const { dialect } = this.#parts;
    const held = this.#heldFor(scope);
    await held.granted.promise;
    return {
      keep: async () => {
        // Databases end a transaction in which nothing is asked for three seconds.
        if (!held.isOver) await held.ask((session) => dialect.clockMs(session), { keeps: true });
      },
      release: async () => {
        if (!held.isOver) held.decide(undefined);
        await held.outcome.promise.catch(() => undefined);
      },
    };
  }

  /** Whether a claim keeps everybody back. */
  get isAlone(): boolean {
    return this.#held?.holds === "everybody" && !this.#held.isOver;
  }

  /** Asks while a claim keeps everybody back, in its transaction. undefined: there is no such claim. */
  askAlone<T>(task: (session: Session) => Promise<T>): Promise<T> | undefined {
    return this.isAlone ? this.#held?.ask(task, { keeps: false }) : undefined;
  }

  /** The one that is held, unless a wider one is asked for, which begins when that has ended. */
  #heldFor(scope: ClaimScope): HeldClaim<Session> {
    const held = this.#held;
    if (held === undefined || held.isOver) return this.#begin(scope);
    if (scope === "servers" || held.scope === "everybody") return held;
    held.decide(undefined);
    return this.#begin(scope);
  }

  #begin(scope: ClaimScope): HeldClaim<Session> {
    const held = new HeldClaim<Session>(scope);
    this.#held = held;
    this.#parts.lane.run((session) => this.#hold(session, held)).catch((error: unknown) => held.fail(error));
    return held;
  }

  async #hold(session: Session, held: HeldClaim<Session>): Promise<void> {
    const { dialect } = this.#parts;
    held.holds = await limited(session, LOCK_LIMIT, () => dialect.lock(session, held.scope));
    failpoint("sql.locked");
    held.granted.resolve();
    const batch = await this.#endOf(session, held);
    if (batch !== undefined) held.outcome.resolve(await this.#write(session, batch));
    else {
      await limited(session, LOCK_LIMIT, () => dialect.unlock(session));
      held.outcome.resolve(false);
    }
  }

  /** Resolves with what is to be committed in its transaction, once that is decided or its time is over. */
  async #endOf(session: Session, held: HeldClaim<Session>): Promise<CommitBatch | undefined> {
    const lost = () => held.decide(undefined);
    session.lost.addEventListener("abort", lost, { once: true });
    try {
      for (;;) {
        using end = deadline(CLAIM_LIMIT_MS, "A claim");
        end.addEventListener("abort", lost, { once: true });
        const step = await this.#answer(session, held);
        if (step !== "keep") return step.batch;
      }
    } finally {
      session.lost.removeEventListener("abort", lost);
    }
  }

  /** Asks what is to be asked until the claim is to be kept for longer, or to end. */
  async #answer(session: Session, held: HeldClaim<Session>): Promise<"keep" | Extract<Step<Session>, { kind: "end" }>> {
    for (;;) {
      const step = await held.next();
      if (step.kind === "end") return step;
      const { question } = step;
      // What failed may have taken the transaction back.
      if (!(await limited(session, QUESTION_LIMIT, () => question.ask(session)))) held.decide(undefined);
      else if (question.keeps) return "keep";
    }
  }

  #write(session: Session, batch: CommitBatch): Promise<boolean> {
    const limit = { what: "A commit", ms: commitLimitMs(batch) };
    return limited(session, limit, () => this.#parts.fence.commit(session, batch));
  }
}
