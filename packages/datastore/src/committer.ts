import { Latest } from "@k3s/async";
import { failpoint } from "@k3s/failpoints";
import type { Logger } from "@k3s/log";
import { answering } from "./answering.ts";
import { isEmpty, merge } from "./batch.ts";
import { CommitQueue, planAnew, refuse, type Company, type Entry } from "./commit-queue.ts";
import { CommitVerdict } from "./commit-verdict.ts";
import { Confirmation } from "./confirmation.ts";
import { emptyBatch, foreignRowsOf, type CommitBatch, type Driver, type ForeignRows } from "./driver.ts";
import { sideDraft, type Draft, type KeyedEvent, type Needs, type Plan } from "./draft.ts";
import { LostHistoryError } from "./history-check.ts";
import type { Interval } from "./key-range.ts";
import type { MvccIndex } from "./mvcc-index.ts";
import { isRefused, unavailable } from "./to-store-error.ts";
import { Pins } from "./pins.ts";
import { Turn } from "./turn.ts";
import type { Caller } from "./types.ts";
import type { ValueCache } from "./value-cache.ts";

/** Conflicts in a row that nothing in the database explains. */
const MAX_UNEXPLAINED = 3;
/** How often a large change is planned: from the second time on other servers wait for it, programs that know of no claims do not. */
const MAX_LONE_TRIES = 5;

interface CommitterParts {
  readonly driver: Driver;
  readonly index: MvccIndex;
  readonly values: ValueCache;
  readonly log: Logger;
  /** Tells the watches, in revision order, after the index shows it and before any RPC is answered. */
  readonly publish: (events: readonly KeyedEvent[], revision: number) => void;
  /** The same for a revision whose events are too many: watches of the interval find them in the log. */
  readonly publishFromLog: (interval: Interval, revision: number) => void;
  /**
   * Brings the index to the state on disk after a failed commit, and leases too where nothing else explains a conflict or `withLeases` says
   * that the commit named some. Resolves once that worked, or the store closes.
   */
  readonly reload: (onFailure: (error: unknown) => void, withLeases: boolean) => Promise<void>;
}

/** End of a sentence. */
const LACKS_CHANGES = "the database lacks changes that were acknowledged";

const STAYING: Caller = { isOver: false };

/** Where what {@link Committer.runAlone} carries out is told. */
type LoneOutcome<T> = PromiseWithResolvers<{ readonly result: T } | "again">;

/** A change that takes more than one turn of the event loop. The index does not change between its steps but by itself. */
export interface LoneChange<T> {
  /** Where its events are. */
  readonly interval: Interval;
  /** Says what to write behind the row `after`. May be called again. */
  prepare(after: number): Promise<CommitBatch>;
  /** Brings to the index what is durable now, as pending. */
  show(): Promise<T>;
}

/**
 * `alone`: a large change is under way, beside which nothing is planned. `settling`: a commit failed and the state on disk is being read.
 * `down`: the database cannot be reached.
 */
type State = "ok" | "alone" | "settling" | "down" | "closed";

/**
 * Group commit. Plans run at once, on top of what is pending; whatever queued up while one commit ran is the next commit.
 *
 *   plan -> queued -> in flight -> durable -> index shows it -> watches -> answer
 */
export class Committer {
  readonly #parts: CommitterParts;
  readonly #state = new Latest<State>("ok");
  readonly #never = new AbortController().signal;
  readonly #queue: CommitQueue;
  #inFlight: readonly Entry[] = [];
  #loop: Promise<void> | undefined;
  /** Where the durable part of the index ends: what a rollback goes back to. */
  #mark = { end: 0, lastRow: 0 };
  readonly #turn: Turn;
  readonly #confirmation: Confirmation;
  readonly #verdict: CommitVerdict;
  #unexplained = 0;
  /** Why the state is `down`, as the end of a sentence. */
  #outage = "";
  /** For whom the state is `alone`. */
  #alone: unknown;
  #settled: Promise<void> | undefined;

  constructor(parts: CommitterParts) {
    this.#parts = parts;
    const { driver, log } = parts;
    this.#queue = new CommitQueue(driver.traits);
    this.#turn = new Turn(driver.shared, log);
    this.#confirmation = new Confirmation({ driver, turn: this.#turn, busy: () => this.#loop });
    this.#verdict = new CommitVerdict(log, driver.shared !== undefined);
  }

  /** Whether the last put was refused because the disk is full. */
  get isFull(): boolean {
    return this.#verdict.isFull;
  }

  /** Whether the database was last seen without changes that the index shows: what it says may not be compared with the index. */
  get lacksChanges(): boolean {
    return this.#state.get() === "down" && this.#outage === LACKS_CHANGES;
  }

  /** Takes what the index holds for durable. Once, after loading and before the first plan. */
  start(): void {
    const { index } = this.#parts;
    this.#mark = { end: index.log.end, lastRow: index.lastRow };
  }

  /** Carries out a plan that changes nothing; works while the database is away, as far as values are in memory. */
  async read<T>(plan: Plan<T>): Promise<T> {
    const pins = new Pins(this.#parts);
    for (;;) {
      const draft = plan(pins.values);
      if (!("needs" in draft)) return draft.result;
      await this.#pin(pins, draft);
    }
  }

  /** Carries out a plan. Resolves once its change is durable, visible and told to the watches. */
  async run<T>(plan: Plan<T>): Promise<T> {
    const pins = new Pins(this.#parts);
    const company = { most: Infinity };
    for (let isSettled = this.#others === undefined; ;) {
      // Looked at in the turn of the plan: a commit may fail in any one before, and then the index is its recovery's alone.
      while (!this.#isReady()) await this.#change();
      const draft = answering(plan, pins.values);
      if ("needs" in draft) await this.#pin(pins, draft);
      else if (isSettled && isEmpty(draft.batch) && !this.#isPending) return draft.result();
      else if ((await this.#enqueue(draft, company)) === "committed") return draft.result();
      else isSettled = true; // what the index shows from now on was read during this call
    }
  }

  /** Carries out a large change while all others wait. Resolves as {@link run}. It is not planned anew for a caller that has gone. */
  async runAlone<T>(change: LoneChange<T>, caller: Caller = STAYING): Promise<T> {
    for (;;) {
      while (!this.#isReady()) await this.#change();
      this.#alone = change;
      this.#state.set("alone");
      await this.#loop;
      if (this.#state.get() !== "alone" || this.#alone !== change) continue; // a commit failed, or the store closes
      const outcome: LoneOutcome<T> = Promise.withResolvers();
      this.#loop = this.#commitAlone(change, outcome, caller);
      const told = await outcome.promise;
      if (told !== "again") return told.result;
    }
  }

  /** Resolves once the index shows what the database held during the call, or during the one under way, which later calls join. */
  settle(): Promise<void> {
    this.#settled ??= this.#settle().finally(() => (this.#settled = undefined));
    return this.#settled;
  }

  /** Refuses new changes; resolves when the queued ones are durable. */
  async close(): Promise<void> {
    this.#state.set("closed");
    await this.#loop;
  }

  async #settle(): Promise<void> {
    while (!this.#isReady()) await this.#change();
    await this.#enqueue(sideDraft(undefined, {}));
    // Nobody else had written, or what they had is read by the time plans may run: that more came since does not matter here.
    while (!this.#isReady()) await this.#change();
  }

  get #others(): ForeignRows | undefined {
    return foreignRowsOf(this.#parts.driver);
  }

  /** Whether a plan would be made on top of what is not durable yet. */
  get #isPending(): boolean {
    return this.#queue.length > 0 || this.#inFlight.length > 0;
  }

  /** Resolves, possibly some turns too late, once it is worth asking {@link #isReady} again. */
  #change(): Promise<unknown> {
    return this.#state.until((next) => next !== "settling" && next !== "alone", this.#never);
  }

  /** Whether plans may run. Throws where they cannot for now, or any more. */
  #isReady(): boolean {
    const state = this.#state.get();
    if (state === "closed") throw unavailable("the store is closed");
    if (state === "down") throw unavailable(this.#outage);
    return state === "ok";
  }

  async #pin(pins: Pins, needs: Needs): Promise<void> {
    const isWhole = await pins.load(needs);
    // Another server may have compacted what the index does not know to be replaced.
    if (!isWhole && this.#others !== undefined) await this.settle();
  }

  #enqueue(draft: Draft<unknown>, company: Company = { most: Infinity }): Promise<"committed" | "again"> {
    const { index } = this.#parts;
    const outcome = Promise.withResolvers<"committed" | "again">();
    const { lastRow, compactRevision } = index;
    this.#queue.push({ draft, company, logEnd: index.log.end, lastRow, compactRevision, outcome });
    this.#loop ??= this.#commitAll();
    return outcome.promise;
  }

  async #commitAll(): Promise<void> {
    await Promise.resolve(); // what was asked in the same turn goes into the same commit
    while (this.#queue.length > 0) {
      const entries = this.#queue.take(this.#verdict.isFull);
      this.#inFlight = entries;
      const batch = merge(
        entries.map(({ draft }) => draft.batch),
        this.#mark.lastRow,
      );
      try {
        failpoint("commit.before");
        await this.#confirmation.ofAll(entries, batch);
        await this.#commit(batch);
        failpoint("commit.durable");
      } catch (error) {
        await this.#recover(entries, error);
        continue;
      }
      this.#noteMade(batch);
      this.#inFlight = [];
      this.#publish(entries);
      failpoint("commit.published");
    }
    this.#loop = undefined; // in the same turn as the last look at the queue: nobody can queue unseen
  }

  /** One commit with nothing pending before it, and those that queue up behind it. */
  async #commitAlone<T>(change: LoneChange<T>, outcome: LoneOutcome<T>, caller: Caller): Promise<void> {
    let wantsMore = true;
    for (let left = MAX_LONE_TRIES - 1; wantsMore; left--)
      wantsMore = await this.#tryAlone(change, outcome, () => left > 0 && !caller.isOver);
    if (this.#state.get() === "alone") this.#state.set("ok");
    void this.#turn.giveBack(() => undefined);
    await this.#commitAll();
  }

  /** Whether it met a conflict and is to be tried once more, at once: what waits for it would use up the claim. */
  async #tryAlone<T>(change: LoneChange<T>, outcome: LoneOutcome<T>, mayTryOn: () => boolean): Promise<boolean> {
    let batch = emptyBatch;
    try {
      batch = await this.#turn.keepWhile(() => change.prepare(this.#mark.lastRow));
      failpoint("commit.before");
      await this.#confirmation.of(batch, this.#parts.index.compactRevision);
      await this.#commit(batch);
      failpoint("commit.durable");
      const result = await change.show();
      this.#noteMade(batch);
      if (!isEmpty(batch)) this.#publishAlone(change.interval);
      outcome.resolve({ result });
      failpoint("commit.published");
      return false;
    } catch (error) {
      const settled = Promise.withResolvers<"committed" | "again">();
      settled.promise.then(() => outcome.resolve("again"), outcome.reject);
      const { end: logEnd, lastRow } = this.#mark;
      const { compactRevision } = this.#parts.index;
      const planned = { logEnd, lastRow, compactRevision };
      const entry = { draft: sideDraft(undefined, batch), company: { most: 1 }, ...planned, outcome: settled };
      return this.#recover([entry], error, mayTryOn);
    }
  }

  #publishAlone(interval: Interval): void {
    const { index, publishFromLog } = this.#parts;
    this.start();
    index.commit(index.lastRow);
    publishFromLog(interval, index.lastRow);
  }

  #noteMade(batch: CommitBatch): void {
    this.#unexplained = 0;
    this.#verdict.made(batch);
    if (!isEmpty(batch)) this.#turn.usedUp();
  }

  async #commit(batch: CommitBatch): Promise<void> {
    if (!isEmpty(batch)) await this.#parts.driver.commit(batch);
  }

  #publish(entries: readonly Entry[]): void {
    const { index, publish } = this.#parts;
    const last = entries.at(-1);
    if (last === undefined) return;
    this.#keepValues(last.logEnd);
    index.commit(last.lastRow);
    this.#mark = { end: last.logEnd, lastRow: last.lastRow };
    publish(
      entries.flatMap(({ draft }) => draft.events),
      last.lastRow,
    );
    for (const { outcome } of entries) outcome.resolve("committed");
  }

  #keepValues(end: number): void {
    const { index, values } = this.#parts;
    for (let position = this.#mark.end; position < end; position++) {
      const version = index.log.at(position);
      if (version === undefined) continue;
      values.replace(version);
      version.value = undefined;
    }
  }

  /** With `mayTryOn`, which large changes have: whether it met a conflict and is planned anew before anything else. */
  async #recover(inFlight: readonly Entry[], error: unknown, mayTryOn?: () => boolean): Promise<boolean> {
    const { index, reload } = this.#parts;
    const queued = this.#queue.takeAll();
    for (const { draft } of [...inFlight, ...queued].reverse()) draft.undo();
    index.rollback(this.#mark.end, this.#mark.lastRow);
    this.#inFlight = [];
    const wasOpen = this.#state.get() !== "closed";
    if (wasOpen) this.#state.set("settling");
    const isConflict = this.#verdict.isConflict(error);
    if (!isConflict) this.#refuse(inFlight, error);
    planAnew(queued);
    const wantsTurn = isConflict && inFlight.some(({ draft }) => !isEmpty(draft.batch));
    if (wantsTurn) await this.#takeTurn(mayTryOn !== undefined);
    await reload((failure) => {
      if (!this.lacksChanges) this.#outage = outageOf(failure); // found once, it is so until all is there again
      if (this.#state.get() === "settling") this.#state.set("down");
      planAnew(inFlight); // to be told that the database is away
    }, inFlight.some(namesLeases));
    // Planned anew on top of the same rows it would meet the same conflict, for ever.
    this.#unexplained = isConflict && index.lastRow === this.#mark.lastRow ? this.#unexplained + 1 : 0;
    const next = isConflict ? this.#afterConflict(inFlight, error, mayTryOn) : "ok";
    this.start();
    if (this.#state.get() !== "closed") this.#state.set(next);
    if (next === "alone") return true;
    planAnew(inFlight);
    if (wantsTurn) void this.#turn.giveBack(() => this.#loop);
    return false;
  }

  #refuse(inFlight: readonly Entry[], error: unknown): void {
    if (isRefused(error)) this.#turn.usedUp();
    refuse(this.#verdict.refusable(inFlight, error), error);
  }

  /** Keeps others back from the next commit. A large change would keep everybody back for as long as it takes. */
  #takeTurn(isLarge: boolean): Promise<void> {
    return this.#turn.take(this.#turn.isClaimed && !isLarge ? "everybody" : "servers");
  }

  /** Refuses what is not worth another plan. `alone`: a large change is to be tried once more before anything else. */
  #afterConflict(inFlight: readonly Entry[], error: unknown, mayTryOn?: () => boolean): "ok" | "alone" {
    if (this.#unexplained >= this.#patience) refuse(inFlight, error);
    else if (mayTryOn?.() === false) refuse(inFlight, unavailable("others write to the database all the time"));
    else if (mayTryOn !== undefined && this.#state.get() === "settling") return "alone";
    return "ok";
  }

  /** With several servers a conflict may come from a lease that has ended meanwhile: planned anew it finds out. */
  get #patience(): number {
    return this.#others === undefined ? 1 : MAX_UNEXPLAINED;
  }
}

function outageOf(failure: unknown): string {
  const isBack = failure instanceof LostHistoryError;
  return isBack ? LACKS_CHANGES : "the database cannot be reached";
}

/** Whether it may have been refused for what others did to a lease. */
function namesLeases({ draft }: Entry): boolean {
  return draft.batch.requiredLeases.length > 0;
}
