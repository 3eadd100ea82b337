import type { KeyRange, Watch, WatchBatch, WatchEnd, WatchEvent } from "@k3s/datastore";
import {
  decodeWatchRequest,
  encodeEvent,
  encodeWatchResponse,
  type WatchCreate,
  type WatchResponse,
} from "./messages/watch.ts";
import type { Outbox } from "./outbox.ts";
import { EventParts } from "./event-parts.ts";
import { RpcError } from "./rpc-error.ts";
import type { ServiceContext } from "./service-context.ts";

/** Id in answers that belong to no watch, or to all of the stream. */
const NO_WATCH = -1;
/** A message of a watch that asked for fragments stays below this, as etcd's limit for what it receives. */
const FRAGMENT_BYTES = 2_097_152;
const FIRST_KEY = Buffer.of(0);

// Texts of etcd's mvcc package; clients show them.
const EMPTY_RANGE = "mvcc: watcher range is empty";
const DUPLICATE_ID = "mvcc: duplicate watch ID provided on the WatchStream";
const COMPACTED = "etcdserver: mvcc: required revision has been compacted";

interface OpenWatch {
  readonly request: WatchCreate;
  readonly watch: Watch;
  /** An event went out since the last tick, so the client knows a recent revision. */
  active: boolean;
  readonly parts: EventParts;
}

/**
 * The watches of one stream. Everything it says goes through one outbox in the order in which it became true, so a
 * progress revision cannot overtake the events it covers.
 */
export class WatchStream {
  readonly #context: ServiceContext;
  readonly #outbox: Outbox;
  readonly #watches = new Map<number, OpenWatch>();
  #nextId = 0;

  constructor(context: ServiceContext, outbox: Outbox) {
    this.#context = context;
    this.#outbox = outbox;
  }

  /** Acts on one etcdserverpb.WatchRequest. Throws ProtoError. */
  receive(bytes: Buffer): void {
    const request = decodeWatchRequest(bytes);
    switch (request.kind) {
      case "create": {
        this.#create(request.create);
        return;
      }
      case "cancel": {
        this.#cancel(request.watchId);
        return;
      }
      case "progress": {
        this.#reportAll();
        return;
      }
      case "unknown":
        return;
    }
  }

  /** To be called at each progress interval: tells every quiet watch that asked how far it is. */
  reportProgress(): void {
    for (const [watchId, open] of this.#watches) {
      const revision = open.request.progressNotify && !open.active ? progressOf(open) : undefined;
      open.active = false;
      if (revision !== undefined) this.#send(revision, { watchId });
    }
  }

  close(): void {
    for (const watchId of [...this.#watches.keys()]) this.#remove(watchId)?.watch.close();
  }

  #create(request: WatchCreate): void {
    const range = watchRange(request);
    if (range === undefined) {
      this.#refuse(EMPTY_RANGE);
      return;
    }
    if (request.startRevision < 0) {
      this.#refuse(COMPACTED);
      return;
    }
    if (request.watchId !== 0 && this.#watches.has(request.watchId)) {
      this.#refuse(DUPLICATE_ID);
      return;
    }

    const watchId = request.watchId === 0 ? this.#freeId() : request.watchId;
    const watch = this.#context.store.watch({
      ...range,
      startRevision: request.startRevision,
      onEvents: (batch) => this.#deliver(watchId, batch),
      onEnd: (end) => this.#end(watchId, end),
      takeTurn: () => this.#outbox.takeTurn(),
    });
    this.#watches.set(watchId, { request, watch, active: false, parts: new EventParts(this.#outbox) });
    this.#send(watch.revision, { watchId, created: true });
  }

  #freeId(): number {
    while (this.#watches.has(this.#nextId)) this.#nextId++;
    return this.#nextId++;
  }

  #refuse(cancelReason: string): void {
    const revision = this.#context.store.currentRevision;
    this.#send(revision, { watchId: NO_WATCH, created: true, canceled: true, cancelReason });
  }

  #deliver(watchId: number, { revision, events, isPart }: WatchBatch): void {
    const open = this.#watches.get(watchId);
    if (open === undefined) return;
    const { noPut, noDelete, prevKv, fragment } = open.request;
    const part = events.filter((event) => passes(event, noPut, noDelete)).map((event) => encodeEvent(event, prevKv));
    const encoded = open.parts.add(part, !isPart);
    if (encoded === undefined || encoded.length === 0) return;
    open.active = true;
    if (fragment) this.#sendFragments(watchId, revision, encoded);
    else this.#send(revision, { watchId, events: encoded });
  }

  #sendFragments(watchId: number, revision: number, events: readonly Buffer[]): void {
    const parts = splitBySize(events, FRAGMENT_BYTES);
    const header = this.#context.header(revision);
    const last = parts.length - 1;
    this.#outbox.push(
      ...parts.map((part, i) => encodeWatchResponse({ watchId, events: part, fragment: i < last, header })),
    );
  }

  #end(watchId: number, end: WatchEnd): void {
    if (this.#remove(watchId) === undefined) return;
    if (end.reason === "stopped") {
      this.#outbox.fail(RpcError.stopped());
      return;
    }
    this.#send(0, { watchId, canceled: true, compactRevision: end.compactRevision });
  }

  #cancel(watchId: number): void {
    const open = this.#remove(watchId);
    if (open === undefined) return;
    open.watch.close();
    this.#send(this.#context.store.currentRevision, { watchId, canceled: true });
  }

  #remove(watchId: number): OpenWatch | undefined {
    const open = this.#watches.get(watchId);
    this.#watches.delete(watchId);
    open?.parts[Symbol.dispose]();
    return open;
  }

  /** One answer for the whole stream, or none: the client asks again. */
  #reportAll(): void {
    let lowest = Infinity;
    for (const open of this.#watches.values()) {
      const revision = progressOf(open);
      if (revision === undefined) return;
      lowest = Math.min(lowest, revision);
    }
    if (lowest !== Infinity) this.#send(lowest, { watchId: NO_WATCH });
  }

  #send(revision: number, response: Omit<WatchResponse, "header">): void {
    this.#outbox.push(encodeWatchResponse({ ...response, header: this.#context.header(revision) }));
  }
}

/**
 * Up to where the watch has everything; undefined while it replays history, or waits for a start that is still to come:
 * a client that is told less than that would resume too early. A start right after the current revision waits for nothing.
 */
function progressOf({ request, watch }: OpenWatch): number | undefined {
  const revision = watch.progress();
  return revision !== undefined && revision >= request.startRevision - 1 ? revision : undefined;
}

/** etcd's reading of the two keys; undefined for a range in which no key can be. */
function watchRange({ key, rangeEnd }: KeyRange): KeyRange | undefined {
  const first = key.length === 0 ? FIRST_KEY : key;
  const isOpenEnded = rangeEnd.length === 0 || (rangeEnd.length === 1 && rangeEnd[0] === 0);
  return isOpenEnded || first.compare(rangeEnd) < 0 ? { key: first, rangeEnd } : undefined;
}

function passes(event: WatchEvent, noPut: boolean, noDelete: boolean): boolean {
  return event.type === "put" ? !noPut : !noDelete;
}

/** Groups in order, each within `limitBytes` unless a single event is larger. */
function splitBySize(events: readonly Buffer[], limitBytes: number): Buffer[][] {
  const parts: Buffer[][] = [];
  let size = Infinity;
  for (const event of events) {
    const part = size + event.length <= limitBytes ? parts.at(-1) : undefined;
    if (part === undefined) parts.push([event]);
    else part.push(event);
    size = (part === undefined ? 0 : size) + event.length;
  }
  return parts;
}
