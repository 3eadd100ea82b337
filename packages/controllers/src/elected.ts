import { aborted, abortReason, deadline } from "@k3s/async";
import { ComponentManager, type Component, type StartContext } from "@k3s/lifecycle";
import type { Logger } from "@k3s/log";
import type { LeaderElection } from "./leader-election.ts";

export interface ElectedOptions {
  readonly name: string;
  readonly election: Pick<LeaderElection, "acquire" | "hold" | "release" | "stepDownMs">;
  /** Made anew for each term: a component is started once. */
  readonly members: () => readonly Component[];
  readonly log: Logger;
}

/** Of the time for stepping down; a member that has not ended by then is ended by force. */
const GENTLE_SHARE = 0.75;

/**
 * Components that run on one of several servers at a time. Losing the lease stops them, and this server becomes a candidate
 * again; being stopped gives the lease up once they have ended. A member that is lost ends the server, as anywhere else, and so
 * does one that does not end in time: somebody else may lead by then.
 */
export class Elected implements Component {
  readonly name: string;
  readonly #options: ElectedOptions;
  readonly #stopping = new AbortController();
  #hurry: AbortSignal | undefined;
  #isWorking = false;
  #work: Promise<void> = Promise.resolve();

  constructor(options: ElectedOptions) {
    this.name = options.name;
    this.#options = options;
  }

  /** Resolves at once: dependents do not wait for a turn of this server. */
  start({ lost }: StartContext): Promise<void> {
    this.#work = this.#run(lost).catch((error: unknown) => {
      if (!this.#stopping.signal.aborted) lost(error instanceof Error ? error : new Error(String(error)));
    });
    return Promise.resolve();
  }

  async stop(hurry: AbortSignal): Promise<void> {
    this.#hurry = hurry;
    this.#stopping.abort(new Error("it is being stopped"));
    await this.#work;
  }

  async #run(lost: StartContext["lost"]): Promise<void> {
    const { signal } = this.#stopping;
    const { election } = this.#options;
    try {
      while (!signal.aborted) {
        await election.acquire(signal);
        await this.#term(lost);
      }
    } finally {
      if (!this.#isWorking) await election.release();
    }
  }

  async #term(lost: StartContext["lost"]): Promise<void> {
    const { signal } = this.#stopping;
    const { election, members, log } = this.#options;
    const over = new AbortController();
    const holding = election.hold(signal).then(() => over.abort(new Error("it leads no more")));
    const manager = new ComponentManager(members());
    manager.lost.addEventListener("abort", () => lost(manager.lost.reason as Error), { once: true });
    this.#isWorking = true;
    try {
      const started = manager.start(over.signal).catch((error: unknown) => {
        if (!over.signal.aborted) throw error;
      });
      await Promise.race([started.then(() => holding), holding]);
      if (!signal.aborted) log.warn({}, "leading no more: the lease was not renewed in time, or somebody else has it");
    } finally {
      await this.#stepDown(manager);
    }
  }

  /** Rejects when members go on beyond the time there is, whether they take notice of being hurried or not. */
  async #stepDown(manager: ComponentManager): Promise<void> {
    const { election, log } = this.#options;
    const { signal } = this.#stopping;
    using hurry = deadline(election.stepDownMs * GENTLE_SHARE, "Stepping down gently", this.#hurry);
    using limit = deadline(election.stepDownMs, "Stepping down");
    const stopped = manager.stop(hurry).finally(() => (this.#isWorking = false));
    await Promise.race([stopped, aborted(limit)]);
    if (!this.#isWorking) return;
    const error = new Error(`Cannot step down: ${manager.stopping().join(", ")} does not end`, {
      cause: abortReason(limit),
    });
    if (signal.aborted) log.error({ error }, "lease is not given up");
    throw error;
  }
}
