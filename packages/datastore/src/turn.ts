import { deadline, nextTurn, repeat } from "@k3s/async";
import type { Logger } from "@k3s/log";
import { CLAIM_LIMIT_MS, type Claim, type ClaimScope, type SharedDatabase } from "./driver.ts";

/** Well within the time after which a claim ends. */
const KEEP_MS = CLAIM_LIMIT_MS / 4;
/** How long others are made to wait for one preparation. A million keys take a few seconds. */
const KEEP_LIMIT_MS = 30_000;

/** After a conflict others wait for our next commit, so that a busy server does not keep a slow one out for ever. */
export class Turn {
  readonly #shared: SharedDatabase | undefined;
  readonly #log: Logger;
  #claim: Claim | undefined;
  /** The claim under which the next commit is made. */
  #standing: Claim | undefined;
  /** Why there is none, where the database refused it. */
  failure: unknown;

  constructor(shared: SharedDatabase | undefined, log: Logger) {
    this.#shared = shared;
    this.#log = log;
  }

  /** Never rejects: a claim is a matter of fairness, and the next commit says what is wrong. */
  async take(scope: ClaimScope): Promise<void> {
    this.#standing = undefined;
    this.failure = undefined;
    try {
      this.#claim = await this.#shared?.claim(scope);
      this.#standing = this.#claim;
    } catch (error) {
      this.failure = error;
      this.#log.debug({ error, scope }, "cannot claim the next commit");
    }
  }

  /** Whether the next commit is made under a claim. A conflict is one with a program that knows of none then. */
  get isClaimed(): boolean {
    return this.#standing !== undefined;
  }

  /** Told of every commit that was made or refused for good: a claim ends with it. */
  usedUp(): void {
    this.#standing = undefined;
  }

  /** Keeps what was claimed while `work` prepares the next commit, for as long as that may take. Settles as `work`. */
  async keepWhile<T>(work: () => Promise<T>): Promise<T> {
    const claim = this.#claim;
    if (claim === undefined) return work();
    const over = new AbortController();
    using limit = deadline(KEEP_LIMIT_MS, "Preparing a commit", over.signal);
    const kept = this.#keep(claim, limit);
    try {
      return await work();
    } finally {
      over.abort(new Error("It is prepared"));
      await kept;
    }
  }

  /** Once the commits are through that were planned in this turn of the event loop; `busy` gives the work under way. */
  async giveBack(busy: () => Promise<void> | undefined): Promise<void> {
    const claim = this.#claim;
    this.#claim = undefined;
    if (claim === undefined) return;
    try {
      await nextTurn();
      await busy();
      await claim.release();
    } catch (error) {
      this.#log.debug({ error }, "cannot give back a claim");
    } finally {
      if (this.#standing === claim) this.#standing = undefined;
    }
  }

  async #keep(claim: Claim, signal: AbortSignal): Promise<void> {
    try {
      await repeat(KEEP_MS, () => claim.keep(), signal);
    } catch (error) {
      this.#log.debug({ error }, "cannot keep a claim");
    }
  }
}
