import { Latest, sleep } from "@k3s/async";
import { CLAIM_LIMIT_MS, DriverError, type Claim } from "@k3s/datastore";
import { failpoint } from "@k3s/failpoints";
import type { Bucket } from "./bucket.ts";
import type { StoredMessage } from "./row-record.ts";

/** Servers that claim before us take their turns first; more than a few mean that claims are not given back. */
const MAX_TURNS = 8;
/** A claim that is kept is written anew this often: well within the time for which others respect it. */
const KEEP_MS = CLAIM_LIMIT_MS / 4;

interface State {
  /** Empty: nobody claims. */
  readonly owner: string;
  readonly seq: number;
  readonly seenAtMs: number;
}

interface ClaimsOptions {
  /** Where the claim is, under one subject. */
  readonly messages: Bucket;
  readonly subject: string;
  /** Tells our claims from those of others. */
  readonly owner: string;
}

/**
 * Who may commit next. The bucket takes whatever comes first, so a busy server could keep a slow one out; a server that lost writes its
 * name here, and the others hold their commits back until it has made its own, {@link CLAIM_LIMIT_MS} at most by their own clock. It is a
 * courtesy: what keeps commits apart is the sequence that each of them expects.
 */
export class Claims {
  readonly #options: ClaimsOptions;
  readonly #state = new Latest<State>({ owner: "", seq: 0, seenAtMs: 0 });

  constructor(options: ClaimsOptions) {
    this.#options = options;
  }

  /** Takes over what the bucket says. */
  learn({ seq, data }: StoredMessage): void {
    if (seq <= this.#state.get().seq) return;
    this.#state.set({ owner: Buffer.from(data ?? []).toString("utf8"), seq, seenAtMs: performance.now() });
  }

  /** Resolves once no other server claims the next commit. */
  async turn(): Promise<void> {
    for (let state = this.#state.get(); this.#isForeign(state); state = this.#state.get()) {
      const over = new AbortController();
      const left = state.seenAtMs + CLAIM_LIMIT_MS - performance.now();
      if (left <= 0) return;
      const changed = this.#state.until(({ seq }) => seq !== state.seq, over.signal);
      await Promise.race([changed, sleep(left, over.signal)]).finally(() => over.abort(new Error("Done")));
      await changed.catch(() => undefined);
    }
  }

  /** Resolves once the next commit is ours. Rejects with DriverError. */
  async claim(): Promise<Claim> {
    const { messages, subject, owner } = this.#options;
    for (let turns = 0; turns < MAX_TURNS; turns++) {
      await this.turn();
      const { seq } = this.#state.get();
      try {
        const claim = this.#claimAt(await this.#write(owner, seq));
        failpoint("nats.claimed");
        return claim;
      } catch (error) {
        if (!(error instanceof DriverError && error.kind === "conflict")) throw error;
        const newest = await messages.newestOf(subject);
        if (newest !== undefined) this.learn(newest);
      }
    }
    throw new DriverError("failed", "Cannot claim the next commit: other servers do not give it back");
  }

  /** Makes others respect a claim of ours, if there is one, for as long again. Rejects with DriverError. */
  async keep(): Promise<void> {
    const { owner, seq, seenAtMs } = this.#state.get();
    if (owner !== this.#options.owner || performance.now() - seenAtMs < KEEP_MS) return;
    try {
      await this.#write(owner, seq);
    } catch (error) {
      if (!(error instanceof DriverError && error.kind === "conflict")) throw error; // lost: the rows themselves find out
    }
  }

  /** Ends a claim of ours after its commit. */
  async done(): Promise<void> {
    const { owner, seq } = this.#state.get();
    if (owner === this.#options.owner) await this.#release(seq);
  }

  #claimAt(written: number): Claim {
    let own = written;
    const keep = async () => {
      if (this.#state.get().seq !== own) return; // it has ended, or is another one of ours by now
      await this.keep();
      const { owner, seq } = this.#state.get();
      if (owner === this.#options.owner) own = seq;
    };
    return { keep, release: () => this.#release(own) };
  }

  async #release(own: number): Promise<void> {
    const { owner, seq } = this.#state.get();
    if (seq !== own || owner !== this.#options.owner) return;
    try {
      await this.#write("", own);
    } catch (error) {
      if (!(error instanceof DriverError && error.kind === "conflict")) throw error; // it has run out and another one has it
    }
  }

  async #write(owner: string, lastSubjectSequence: number): Promise<number> {
    const { messages, subject } = this.#options;
    const data = Buffer.from(owner);
    const seq = await messages.publish({ subject, headers: [], data }, { expect: { lastSubjectSequence } });
    this.learn({ seq, subject, header: () => "", data });
    return seq;
  }

  #isForeign({ owner }: State): boolean {
    return owner !== "" && owner !== this.#options.owner;
  }
}
