import type { KeyValue, Operation, Response, Span } from "../history/operation.ts";
import type { EndpointTraits } from "../history/endpoint-traits.ts";
import { isOwnProgress, type WatchEvent, type WatchSession } from "../history/watch-session.ts";
import { contains, type Change } from "../model/state.ts";
import type { ByteText } from "../wire/bytes.ts";

/** What some client saw of a key at the revision that changed it. */
type Sight = KeyValue | "deleted";

const NOTHING_SEEN: ReadonlyMap<ByteText, Sight> = new Map();

/** Everything that clients saw of what each revision changed: a step that makes a revision has to fit. */
export class Evidence {
  readonly #sights = new Map<number, Map<ByteText, Sight>>();
  /** Revisions from and to between which one watch was told of every key. */
  readonly #complete: (readonly [from: number, to: number])[] = [];
  /** What single watches were told of without a gap. */
  readonly #followed: { readonly span: Span; readonly from: number; readonly to: number }[] = [];
  /** Two clients that saw different things at the same key and revision. */
  readonly conflicts: string[] = [];

  /** From answers alone, or from watches as well. */
  static of(operations: readonly Operation[], sessions: readonly WatchSession[], traits: EndpointTraits): Evidence {
    const evidence = new Evidence();
    for (const { outcome } of operations) if (outcome.kind === "ok") evidence.#addResponse(outcome.response);
    for (const session of sessions) evidence.#addSession(session, traits);
    return evidence;
  }

  /** Revisions behind `after` up to `last` at which nobody saw a change. */
  unseen(after: number, last: number): number[] {
    const all = Array.from({ length: Math.max(last - after, 0) }, (_, i) => after + 1 + i);
    return all.filter((revision) => !this.#sights.has(revision));
  }

  /** Whether a step to `revision` that makes these changes agrees with all that was seen of it. */
  allows(revision: number, changes: readonly Change[]): boolean {
    const seen = this.#sights.get(revision) ?? NOTHING_SEEN;
    const isComplete = this.#complete.some(([from, to]) => revision >= from && revision <= to);
    if (isComplete && seen.size < changes.length) return false;
    const made = new Map(changes.map((change) => [change.version.key, change]));
    if (changes.some(({ version: { key } }) => !seen.has(key) && this.#wouldBeSeen(key, revision))) return false;
    for (const [key, sight] of seen) {
      const change = made.get(key);
      if (change === undefined || !fits(change, sight)) return false;
    }
    return true;
  }

  /** Whether a watch that was told of all up to a later revision would have been told of this one. */
  #wouldBeSeen(key: ByteText, revision: number): boolean {
    return this.#followed.some(({ span, from, to }) => revision >= from && revision <= to && contains(span, key));
  }

  #addSession(session: WatchSession, traits: EndpointTraits): void {
    const { request, messages } = session;
    for (const { events } of messages) for (const event of events) this.#addEvent(event);
    const coversAll = request.key <= "\0" && request.end === "\0" && request.startRevision > 0;
    const to = toldUpTo(session, traits);
    if (request.startRevision === 0 || to <= request.startRevision) return;
    // Of the first revision a deletion can be missing, if that is the compacted one.
    const from = request.startRevision + 1;
    this.#followed.push({ span: request, from, to });
    if (coversAll) this.#complete.push([from, to]);
  }

  #addResponse(response: Response): void {
    switch (response.kind) {
      case "range": {
        for (const kv of response.kvs) this.#add(kv.mod, kv);
        return;
      }
      case "put": {
        if (response.prevKv !== undefined) this.#add(response.prevKv.mod, response.prevKv);
        return;
      }
      case "delete": {
        for (const kv of response.prevKvs) this.#add(kv.mod, kv);
        return;
      }
      case "txn": {
        for (const inner of response.responses) this.#addResponse(inner);
        return;
      }
      default:
        return;
    }
  }

  #addEvent({ type, kv, prevKv }: WatchEvent): void {
    this.#add(kv.mod, type === "delete" ? { ...kv, version: 0 } : kv);
    if (prevKv !== undefined) this.#add(prevKv.mod, prevKv);
  }

  #add(revision: number, kv: KeyValue): void {
    const sight: Sight = kv.version === 0 ? "deleted" : kv;
    const seen = this.#sights.get(revision) ?? new Map<ByteText, Sight>();
    this.#sights.set(revision, seen);
    const known = seen.get(kv.key);
    if (known === undefined || (agree(known, sight) && !showsValue(known))) seen.set(kv.key, sight);
    else if (!agree(known, sight)) this.conflicts.push(`revision ${revision}: ${show(known)} and ${show(sight)}`);
  }
}

/** The last revision of which a watch claims to have told everything: its newest event, or the progress that it was told of. */
function toldUpTo(session: WatchSession, traits: EndpointTraits): number {
  return session.messages.slice(1).reduce((told, message) => {
    const { canceled, events, revision } = message;
    const isProgress = !canceled && (told > 0 || isOwnProgress(session, message, traits));
    return Math.max(told, events.at(-1)?.kv.mod ?? (isProgress ? revision : 0));
  }, 0);
}

/** Keys-only answers lack the value, so only what identifies a version is compared. */
function agree(a: Sight, b: Sight): boolean {
  if (a === "deleted" || b === "deleted") return a === b;
  return a.create === b.create && a.version === b.version && a.lease === b.lease && sameValue(a.value, b.value);
}

/** Values are never empty: an answer of keys only, or of a deletion, says nothing of them. */
function showsValue(sight: Sight): boolean {
  return sight !== "deleted" && sight.value !== "";
}

function sameValue(a: ByteText, b: ByteText): boolean {
  return a === b || a === "" || b === "";
}

function fits({ type, version }: Change, sight: Sight): boolean {
  return type === "delete" ? sight === "deleted" : agree(version, sight);
}

function show(sight: Sight): string {
  return sight === "deleted" ? "deleted" : JSON.stringify(sight);
}
