import { deadline } from "@k3s/async";
import type { RangeQuery, Store } from "@k3s/datastore";
import { AnswerSizes } from "./answer-sizes.ts";
import type { UnaryScope } from "./method.ts";
import { PageTurns } from "./page-turns.ts";
import { RpcError } from "./rpc-error.ts";

/** Answers with up to so many keys never wait. */
const FEW_KEYS = 64;
/** Answers with up to so many keys and bytes only take turns. */
const PAGE_KEYS = 1000;
const PAGE_BYTES = 16 << 20;
const AT_ONCE_MAX = 4;
/** Of those at once, unless one alone has more. */
const BYTES_MAX = 256 << 20;
/** How long others wait for a client that does not take its answer. */
const TAKING_MS = 5000;

interface Waiting {
  readonly bytes: number;
  readonly begin: () => void;
}

/**
 * Bounds the memory of large lists: only a few are read, encoded and handed to their clients at a time, the others wait in
 * their order, before anything is read for them. How large an answer becomes is guessed from earlier ones.
 */
export class LargeAnswers {
  readonly #store: Pick<Store, "range">;
  readonly #sizes = new AnswerSizes();
  readonly #pages = new PageTurns();
  readonly #waiting: Waiting[] = [];
  #running = 0;
  #bytes = 0;

  constructor(store: Pick<Store, "range">) {
    this.#store = store;
  }

  /** Tells how large the answer to a query was. */
  note(query: RangeQuery, keys: number, bytes: number): void {
    this.#sizes.note(query, keys, bytes);
  }

  /**
   * Runs `work`, which reads `queries`, when it is its turn. Rejects without running it when nobody waits for the answer any
   * more.
   */
  async run<T>(queries: readonly RangeQuery[], call: UnaryScope, work: () => Promise<T>): Promise<T> {
    const { keys, bytes } = await this.#sizeOf(queries);
    if (keys <= FEW_KEYS && bytes <= PAGE_BYTES) return work();
    if (keys <= PAGE_KEYS && bytes <= PAGE_BYTES) return this.#pages.run(keys, call, work);
    return this.#runAmongFew(bytes, call, work);
  }

  /** The same for `work` that writes too: it may wait for the disk for long, and takes no turn from those that only read pages. */
  async runWrite<T>(queries: readonly RangeQuery[], call: UnaryScope, work: () => Promise<T>): Promise<T> {
    const { keys, bytes } = await this.#sizeOf(queries);
    return keys <= PAGE_KEYS && bytes <= PAGE_BYTES ? work() : this.#runAmongFew(bytes, call, work);
  }

  async #runAmongFew<T>(bytes: number, call: UnaryScope, work: () => Promise<T>): Promise<T> {
    await this.#enter(bytes);
    try {
      if (call.isOver) throw RpcError.abandoned();
      const answer = await work();
      if (call.isOver) this.#leave(bytes);
      else this.#leaveOnceTaken(bytes, call);
      return answer;
    } catch (error) {
      this.#leave(bytes);
      throw error;
    }
  }

  /** About how large the answer becomes. */
  async #sizeOf(queries: readonly RangeQuery[]): Promise<{ readonly keys: number; readonly bytes: number }> {
    let [keys, bytes] = [0, 0];
    for (const query of queries) {
      const count = await this.#keysOf(query);
      keys += count;
      bytes += this.#sizes.estimate(query, count);
    }
    return { keys, bytes };
  }

  /** Keys that are read for a query, at most; they are counted where the limit alone does not say that they are few. */
  async #keysOf(query: RangeQuery): Promise<number> {
    if (query.rangeEnd.length === 0 || query.countOnly) return 0;
    const most = query.limit > 0 && isPlain(query) ? query.limit : Infinity;
    if (most <= PAGE_KEYS && this.#sizes.estimate(query, most) <= PAGE_BYTES) return most;
    const { count } = await this.#store.range({ ...query, countOnly: true, serializable: true, revision: 0 });
    return Math.min(count, most);
  }

  #enter(bytes: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.push({ bytes, begin: resolve });
    this.#beginNext();
    return promise;
  }

  #leaveOnceTaken(bytes: number, call: UnaryScope): void {
    const limit = deadline(TAKING_MS, "Taking a large answer");
    const taken = new AbortController();
    const leave = () => this.#leave(bytes);
    limit.addEventListener("abort", leave, { once: true, signal: taken.signal });
    call.onTaken(() => {
      if (limit.aborted) return; // it has left already
      taken.abort();
      limit[Symbol.dispose]();
      leave();
    });
  }

  #leave(bytes: number): void {
    this.#running--;
    this.#bytes -= bytes;
    this.#beginNext();
  }

  #beginNext(): void {
    for (let next = this.#waiting[0]; next !== undefined && this.#hasRoomFor(next); next = this.#waiting[0]) {
      this.#waiting.shift();
      this.#running++;
      this.#bytes += next.bytes;
      next.begin();
    }
  }

  #hasRoomFor({ bytes }: Waiting): boolean {
    return this.#running === 0 || (this.#running < AT_ONCE_MAX && this.#bytes + bytes <= BYTES_MAX);
  }
}

/** Whether no more keys are read than the limit says. */
function isPlain({ sort, ...query }: RangeQuery): boolean {
  const bounds = [query.minModRevision, query.maxModRevision, query.minCreateRevision, query.maxCreateRevision];
  return sort === undefined && bounds.every((bound) => bound === undefined || bound === 0);
}
