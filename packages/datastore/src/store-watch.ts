import { nextTurn } from "@k3s/async";
import { toEvent } from "./draft.ts";
import { contains, toInterval, type Interval } from "./key-range.ts";
import type { MvccIndex } from "./mvcc-index.ts";
import type { Revision, Watch, WatchEnd, WatchEvent, WatchRequest } from "./types.ts";
import { revision } from "./types.ts";
import type { ValueCache } from "./value-cache.ts";
import { assertFound } from "./value-reads.ts";
import { isLive, type Version } from "./version.ts";
import type { WatchHub } from "./watch-hub.ts";

/** Limits of one slice of a replay: events handed over at once, and log entries looked at. */
const MAX_SLICE_EVENTS = 500;
const SLICE_ENTRIES = 10_000;
/** Handed over in one turn of the event loop, of a revision with more. */
const PART_EVENTS = 1000;
/** How large the values are is known when they are there: the number of events of a slice follows those before it. */
const FIRST_SLICE_EVENTS = 16;
const SLICE_BYTES = 1 << 20;

interface WatchParts {
  readonly index: MvccIndex;
  readonly values: ValueCache;
  readonly hub: WatchHub;
  /** Learns how far other servers have compacted: what was missing here tells only that they have. Rejects where that cannot be asked. */
  readonly learnCompaction: () => Promise<void>;
  /** Told when the values of a replay cannot be read; the watch is ended then. */
  readonly onReplayFailure: (error: unknown) => void;
}

interface Change {
  readonly version: Version;
  readonly previous: Version | undefined;
}

interface Slice {
  readonly found: readonly Change[];
  /** First revision that is not in the slice. */
  readonly next: number;
}

/**
 *   replay --caught up--> live --many events at once--> replay
 *      '--------------------'--- close() or end: no callback after it
 */
export class StoreWatch implements Watch {
  readonly revision: Revision;
  readonly interval: Interval;
  readonly #parts: WatchParts;
  readonly #request: WatchRequest;
  #phase: "replay" | "live" | "over" = "replay";
  #sliceEvents = FIRST_SLICE_EVENTS;

  constructor(parts: WatchParts, request: WatchRequest) {
    this.#parts = parts;
    this.#request = request;
    // In watches the empty key means the lowest one.
    this.interval = toInterval(request.key.length === 0 ? { ...request, key: Buffer.of(0) } : request);
    this.revision = revision(parts.index.committed);
    parts.hub.open(this);
    if (request.startRevision <= 0 || request.startRevision > this.revision) this.#goLive();
    else this.#startReplay(request.startRevision);
  }

  progress(): Revision | undefined {
    return this.#phase === "live" ? revision(this.#parts.hub.delivered) : undefined;
  }

  close(): void {
    this.#phase = "over";
    this.#parts.hub.remove(this);
  }

  /** Hands events over unless they lie before the start. `isPart`: with those of the next call. */
  deliver(events: readonly WatchEvent[], isPart = false): void {
    if (this.#isOver) return;
    const wanted = events.filter(({ kv }) => kv.modRevision >= this.#request.startRevision);
    const last = wanted.at(-1);
    if (last !== undefined) this.#request.onEvents({ revision: last.kv.modRevision, events: wanted, isPart });
  }

  /** Ends the watch and tells why. */
  end(reason: WatchEnd): void {
    if (this.#isOver) return;
    this.close();
    this.#request.onEnd(reason);
  }

  replayFrom(at: number): void {
    if (this.#phase !== "live") return; // it gets there by itself
    this.#phase = "replay";
    this.#parts.hub.pause(this);
    this.#startReplay(at);
  }

  endBefore(compactRevision: number): void {
    const { startRevision } = this.#request;
    const from = startRevision > 0 ? startRevision : this.revision + 1;
    if (from < compactRevision) this.end({ reason: "compacted", compactRevision: revision(compactRevision) });
  }

  #goLive(): void {
    this.#phase = "live";
    this.#parts.hub.goLive(this);
  }

  get #isOver(): boolean {
    return this.#phase === "over";
  }

  #fail(error: unknown): void {
    if (this.#isOver) return; // the database may have been closed meanwhile, as is due then
    this.#parts.onReplayFailure(error);
    this.end({ reason: "stopped" });
  }

  #startReplay(from: number): void {
    this.#replay(from).catch((error: unknown) => this.#fail(error));
  }

  async #replay(start: number): Promise<void> {
    let from = start;
    while (this.#phase === "replay" && from <= this.#parts.index.committed) {
      await nextTurn(); // never before watch() has returned, and not too much at once
      using _turn = await this.#request.takeTurn?.();
      from = await this.#replaySlice(from);
    }
    if (this.#phase === "replay") this.#goLive();
  }

  /** Hands over what comes next and returns where to go on. Ends the watch when that is compacted. */
  async #replaySlice(from: number): Promise<number> {
    if (this.#isOver || (await this.#endsCompacted(from))) return from;
    const { found, next } = this.#slice(from);
    let bytes = 0;
    for (let at = 0; at < found.length; at += PART_EVENTS) {
      if (at > 0) await nextTurn();
      if (this.#isOver) return from;
      const part = found.slice(at, at + PART_EVENTS);
      const values = await this.#valuesOf(part);
      if (this.#isOver || (await this.#endsCompacted(from))) return from;
      if (await this.#endsMissing(part, values, from)) return from;
      const events = part.map(({ version, previous }) => toEvent(version, previous, values).event);
      this.deliver(events, at + PART_EVENTS < found.length);
      for (const value of values.values()) bytes += value.length;
    }
    this.#adaptSlice(found.length, bytes);
    return next;
  }

  /** A row that is gone was compacted by another server, of which is heard with what else it did; nothing else may take it. */
  async #endsMissing(part: readonly Change[], values: ReadonlyMap<number, Buffer>, from: number): Promise<boolean> {
    const versions = part.map(({ version }) => version);
    if (versions.every((version) => version.deleted || values.has(version.row))) return false;
    await this.#parts.learnCompaction();
    if (this.#isOver || (await this.#endsCompacted(from))) return true;
    assertFound(versions, values);
    return false;
  }

  #valuesOf(changes: readonly Change[]): Promise<ReadonlyMap<number, Buffer>> {
    return this.#parts.values.load(changes.flatMap(({ version, previous }) => [version, ...asList(previous)]));
  }

  #adaptSlice(events: number, bytes: number): void {
    if (bytes > SLICE_BYTES) this.#sliceEvents = Math.max(1, this.#sliceEvents >> 1);
    else if (events >= this.#sliceEvents && bytes < SLICE_BYTES / 2)
      this.#sliceEvents = Math.min(this.#sliceEvents * 2, MAX_SLICE_EVENTS);
  }

  async #endsCompacted(from: number): Promise<boolean> {
    const { index, learnCompaction } = this.#parts;
    if (from >= index.compactRevision) return false;
    await learnCompaction().catch((error: unknown) => {
      if (from >= index.toldCompactRevision) throw error;
    });
    this.end({ reason: "compacted", compactRevision: revision(index.compactRevision) });
    return true;
  }

  /** Whole revisions from `from` on, as far as the limits go. */
  #slice(from: number): Slice {
    const { index } = this.#parts;
    const found: Change[] = [];
    let position = index.log.find(from);
    let looked = 0;
    let current = from;
    for (; ; position++, looked++) {
      const version = index.log.at(position);
      if (version === undefined || version.mod > index.committed) return { found, next: index.committed + 1 };
      const isFull = found.length >= this.#sliceEvents || looked >= SLICE_ENTRIES;
      if (isFull && version.mod > current) return { found, next: version.mod };
      current = version.mod;
      if (!contains(this.interval, version.key)) continue;
      // What was before the compacted revision is not told, whether its row is still there or not.
      found.push({ version, previous: version.mod > index.compactRevision ? version.previous : undefined });
    }
  }
}

function asList(version: Version | undefined): Version[] {
  return isLive(version) ? [version] : [];
}
