import { isDeepStrictEqual } from "node:util";
import type { EndpointTraits } from "../history/endpoint-traits.ts";
import { isOwnProgress, type Received, type WatchEvent, type WatchSession } from "../history/watch-session.ts";
import { contains, toKeyValue, type Change } from "../model/state.ts";
import { describeChange } from "./describe.ts";
import type { Timeline } from "./timeline.ts";
import type { BrokenPromise, Violation } from "./violation.ts";

/** A request to compact, whatever became of it. */
export interface Compaction {
  readonly revision: number;
  readonly invokedAt: number;
  /** Infinity unless it was acknowledged. */
  readonly doneAt: number;
}

interface Seen {
  readonly event: WatchEvent;
  readonly at: number;
}

/** Compares what one watch was told with etcd's promises and with what really happened. One use. */
export class WatchCheck {
  readonly #session: WatchSession;
  readonly #compactions: readonly Compaction[];
  readonly #traits: EndpointTraits;
  readonly #violations: Violation[] = [];
  readonly #seen = new Map<string, Seen>();
  /** First revision that the watch is about. */
  #from = 0;
  /** Newest event, and newest revision that a message without events told: of this watch, and perhaps of it. */
  #lastEvent = 0;
  #progress = 0;
  #claimed = 0;
  #isCompacted = false;

  constructor(
    session: WatchSession,
    { compactions, traits }: { readonly compactions: readonly Compaction[]; readonly traits: EndpointTraits },
  ) {
    this.#session = session;
    this.#compactions = compactions;
    this.#traits = traits;
  }

  run(timeline: Timeline): readonly Violation[] {
    const [created, ...messages] = this.#session.messages;
    if (created === undefined) {
      this.#checkGoal();
      return this.#violations;
    }
    this.#checkCreated(created);
    for (const message of messages) {
      if (message.canceled) this.#checkCancel(message);
      else if (message.events.length > 0) this.#checkEvents(message);
      else this.#takeProgress(message);
    }
    this.#checkContent(timeline);
    this.#checkStart();
    this.#checkGoal();
    return this.#violations;
  }

  #takeProgress(message: Received): void {
    this.#claimed = Math.max(this.#claimed, message.revision);
    const isOwn = this.#lastEvent > 0 || isOwnProgress(this.#session, message, this.#traits);
    if (isOwn) this.#progress = Math.max(this.#progress, message.revision);
  }

  #checkCreated(message: Received): void {
    const { request } = this.#session;
    if (!message.created || message.events.length > 0)
      this.#report("watch-created", "the first message is not `created`");
    if (message.canceled) this.#report("watch-created", `the watch was refused: ${message.cancelReason}`);
    this.#from = request.startRevision > 0 ? request.startRevision : message.revision + 1;
  }

  #checkCancel({ compactRevision, cancelReason }: Received): void {
    if (this.#session.cancelRequestedAt < Number.POSITIVE_INFINITY) return;
    const needed = Math.max(this.#from, this.#position() + 1);
    this.#isCompacted = compactRevision > 0;
    const isAsked = this.#compactions.some(({ revision }) => revision === compactRevision);
    const isKnown = isAsked || this.#traits.history === "bounded";
    if (compactRevision === 0) this.#report("watch-alive", `canceled without a reason of ours: ${cancelReason}`);
    else if (!isKnown)
      this.#report("watch-compacted", `canceled by a compaction at ${compactRevision} that nobody asked for`);
    else if (compactRevision <= needed)
      this.#report("watch-compacted", `canceled by a compaction at ${compactRevision}, needs only ${needed}`);
  }

  #checkEvents({ events, revision, at }: Received): void {
    const [first] = events;
    let last = this.#lastEvent;
    if (first?.kv.mod === last && !this.#seen.has(identity(first)))
      this.#report("watch-atomic", `revision ${last} was split over two messages`);
    for (const event of events) {
      const { mod } = event.kv;
      if (this.#seen.has(identity(event))) this.#report("watch-unique", `told twice: ${describeEvent(event)}`);
      else if (mod < last) this.#report("watch-ordered", `revision ${mod} after ${last}: ${describeEvent(event)}`);
      if (mod <= this.#progress)
        this.#report("watch-bookmarkable", `revision ${mod} after progress ${this.#progress}: ${describeEvent(event)}`);
      if (mod < this.#from || !contains(this.#session.request, event.kv.key))
        this.#report("watch-exact", `not asked for: ${describeEvent(event)}`);
      this.#seen.set(identity(event), { event, at });
      last = Math.max(last, mod);
    }
    if (revision < last) this.#report("header", `header revision ${revision} of an event of revision ${last}`);
    this.#lastEvent = last;
  }

  #checkContent(timeline: Timeline): void {
    const changes = timeline.changes(this.#session.request, { from: this.#from, to: this.#position() });
    const left = new Map(this.#seen);
    for (const change of changes) {
      const seen = left.get(`${change.version.mod} ${change.version.key}`);
      left.delete(`${change.version.mod} ${change.version.key}`);
      if (seen === undefined && this.#mayBeForgotten(change)) continue;
      if (seen === undefined)
        this.#report("watch-reliable", `missing before ${this.#position()}: ${describeChange(change)}`);
      else this.#checkEvent(seen, change);
    }
    for (const { event } of left.values()) {
      if (event.kv.mod >= this.#from) this.#report("watch-exact", `never happened: ${describeEvent(event)}`);
    }
    this.#checkOrderWithin(changes);
  }

  /** The order of the changes of one transaction. */
  #checkOrderWithin(changes: readonly Change[]): void {
    const wanted = changes.map(({ version }) => `${version.mod} ${version.key}`);
    const got = new Set(this.#seen.keys());
    const told = wanted.filter((name) => got.has(name));
    const order = new Map([...got].map((name, index) => [name, index]));
    const wrong = told.find(
      (name, index) => index > 0 && (order.get(told[index - 1] ?? "") ?? 0) > (order.get(name) ?? 0),
    );
    const isKnown = this.#violations.some(({ promise }) => promise === "watch-ordered" || promise === "watch-unique");
    if (wrong !== undefined && !isKnown) this.#report("watch-ordered", `too late: ${JSON.stringify(wrong)}`);
  }

  #checkEvent({ event, at }: Seen, change: Change): void {
    const { type, version, previous } = change;
    const wanted = type === "put" ? toKeyValue(version) : { ...toKeyValue(version), create: 0 };
    if (event.type !== type || !isDeepStrictEqual(event.kv, wanted))
      this.#report("watch-exact", `told ${describeEvent(event)}, happened ${describeChange(change)}`);
    const previousKv = previous === undefined || !this.#session.request.prevKv ? undefined : toKeyValue(previous);
    if (isDeepStrictEqual(event.prevKv, previousKv)) return;
    // etcd forgets that prev_kv was asked for when it reads the cancellation, with events still on their way.
    const isGivenUp = at >= this.#session.cancelRequestedAt;
    const mayBeAbsent = event.prevKv === undefined && (isGivenUp || this.#mayBeCompacted(version.mod - 1, at));
    if (!mayBeAbsent)
      this.#report("watch-prev-kv", `told ${describeEvent(event)}, before was ${JSON.stringify(previousKv)}`);
  }

  /** A compaction at the very revision of a deletion leaves nothing of it, and a watch may start there. */
  #mayBeForgotten({ type, version }: Change): boolean {
    const isBegin = this.#traits.history === "bounded" && version.mod === this.#from;
    return type === "delete" && (isBegin || this.#compactions.some(({ revision }) => revision === version.mod));
  }

  #mayBeCompacted(revision: number, at: number): boolean {
    if (this.#traits.history === "bounded") return true;
    return this.#compactions.some((compaction) => compaction.revision > revision && compaction.invokedAt < at);
  }

  /** A watch must not begin in history that is gone. */
  #checkStart(): void {
    if (this.#traits.servers === "several") return;
    const { request, requestedAt } = this.#session;
    const gone = this.#compactions.find(
      ({ revision, doneAt }) => request.startRevision > 0 && revision > request.startRevision && doneAt < requestedAt,
    );
    const hasTold = this.#lastEvent > 0 || this.#progress > 0;
    if (gone !== undefined && !this.#isCompacted && hasTold)
      this.#report("watch-compacted", `starts at ${request.startRevision} although compacted at ${gone.revision}`);
  }

  #checkGoal(): void {
    const { goal } = this.#session;
    if (!this.#isCompacted && Math.max(this.#position(), this.#claimed) < goal)
      this.#report("watch-alive", `told nothing beyond revision ${this.#position()}, the last change is ${goal}`);
  }

  /** Up to here the watch claims to have told everything. */
  #position(): number {
    return Math.max(this.#lastEvent, this.#progress, this.#from - 1);
  }

  #report(promise: BrokenPromise, what: string): void {
    const { id, watcher, request, messages } = this.#session;
    const { key, end, startRevision } = request;
    const text = `${watcher}, watch ${id} of ${JSON.stringify([key, end])} from ${startRevision}: ${what}`;
    if (this.#violations.length < 5)
      this.#violations.push({ promise, text, details: messages.slice(-20).map(describeMessage) });
  }
}

function identity({ kv }: WatchEvent): string {
  return `${kv.mod} ${kv.key}`;
}

function describeEvent({ type, kv, prevKv }: WatchEvent): string {
  return JSON.stringify({ [type]: kv, ...(prevKv === undefined ? {} : { prevKv }) });
}

function describeMessage({ at, revision, created, canceled, compactRevision, events }: Received): string {
  const flags = `${created ? " created" : ""}${canceled ? ` canceled (compacted ${compactRevision})` : ""}`;
  const told = events.map((event) => describeEvent(event)).join(" ");
  return `${at.toFixed(1)} ms revision ${revision}${flags} ${told === "" ? "no events" : told}`.slice(0, 600);
}
