import { deadline } from "@k3s/async";
import type { RangeQuery, Store } from "@k3s/datastore";
import type { UnaryScope } from "./method.ts";
import { RpcError } from "./rpc-error.ts";

/** Answers with up to so many keys never wait. */
const SMALL_KEYS = 1000;
const AT_ONCE_MAX = 4;
/** How long others wait for a client that does not take its answer. */
const TAKING_MS = 5000;

/**
 * Bounds the memory of large lists: only a few are read, encoded and handed to their clients at a time, the others wait in
 * their order, before anything is read for them.
 */
export class LargeAnswers {
  readonly #store: Pick<Store, "range">;
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(store: Pick<Store, "range">) {
    this.#store = store;
  }

  /** Runs `work` when it is its turn. Rejects without running it when nobody waits for the answer any more. */
  async run<T>(query: RangeQuery, call: UnaryScope, work: () => Promise<T>): Promise<T> {
    if (!(await this.#isLarge(query))) return work();
    if (this.#running >= AT_ONCE_MAX) await this.#turn();
    else this.#running++;
    try {
      if (call.isOver) throw RpcError.abandoned();
      const answer = await work();
      if (call.isOver) this.#leave();
      else this.#leaveOnceTaken(call);
      return answer;
    } catch (error) {
      this.#leave();
      throw error;
    }
  }

  async #isLarge(query: RangeQuery): Promise<boolean> {
    const isPage = query.limit > 0 && query.limit <= SMALL_KEYS;
    if (query.rangeEnd.length === 0 || query.countOnly || isPage) return false;
    const { count } = await this.#store.range({ ...query, countOnly: true, serializable: true, revision: 0 });
    return count > SMALL_KEYS;
  }

  #turn(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.push(resolve);
    return promise;
  }

  #leaveOnceTaken(call: UnaryScope): void {
    const limit = deadline(TAKING_MS, "Taking a large answer");
    const leave = () => {
      limit.removeEventListener("abort", leave);
      limit[Symbol.dispose]();
      this.#leave();
    };
    limit.addEventListener("abort", leave, { once: true });
    call.onTaken(leave);
  }

  /** The place goes to the next one. */
  #leave(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#running--;
    else next();
  }
}
