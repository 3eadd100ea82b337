import type { KeyValue, RangeResponse, Response } from "../history/operation.ts";
import type { WatchEvent, WatchMessage } from "../history/watch-session.ts";
import { readFields, toText } from "./bytes.ts";

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };
type Of<Kind extends Response["kind"]> = Mutable<Extract<Response, { readonly kind: Kind }>>;

function readRevision(header: Buffer): number {
  let revision = 0;
  for (const { field, number } of readFields(header)) if (field === 3) revision = number;
  return revision;
}

function readKeyValue(message: Buffer): KeyValue {
  const kv: Mutable<KeyValue> = { key: "", create: 0, mod: 0, version: 0, value: "", lease: 0 };
  for (const { field, number, bytes } of readFields(message)) {
    if (field === 1) kv.key = toText(bytes);
    else if (field === 2) kv.create = number;
    else if (field === 3) kv.mod = number;
    else if (field === 4) kv.version = number;
    else if (field === 5) kv.value = toText(bytes);
    else if (field === 6) kv.lease = number;
  }
  return kv;
}

export function decodeRange(message: Buffer): RangeResponse {
  const kvs: KeyValue[] = [];
  const answer: Mutable<RangeResponse> = { kind: "range", revision: 0, kvs, more: false, count: 0 };
  for (const { field, number, bytes } of readFields(message)) {
    if (field === 1) answer.revision = readRevision(bytes);
    else if (field === 2) kvs.push(readKeyValue(bytes));
    else if (field === 3) answer.more = number !== 0;
    else if (field === 4) answer.count = number;
  }
  return answer;
}

export function decodePut(message: Buffer): Response {
  const answer: Of<"put"> = { kind: "put", revision: 0, prevKv: undefined };
  for (const { field, bytes } of readFields(message)) {
    if (field === 1) answer.revision = readRevision(bytes);
    else if (field === 2) answer.prevKv = readKeyValue(bytes);
  }
  return answer;
}

export function decodeDelete(message: Buffer): Response {
  const prevKvs: KeyValue[] = [];
  const answer: Of<"delete"> = { kind: "delete", revision: 0, deleted: 0, prevKvs };
  for (const { field, number, bytes } of readFields(message)) {
    if (field === 1) answer.revision = readRevision(bytes);
    else if (field === 2) answer.deleted = number;
    else if (field === 3) prevKvs.push(readKeyValue(bytes));
  }
  return answer;
}

export function decodeTxn(message: Buffer): Response {
  const responses: Response[] = [];
  const answer: Of<"txn"> = { kind: "txn", revision: 0, succeeded: false, responses };
  for (const { field, number, bytes } of readFields(message)) {
    if (field === 1) answer.revision = readRevision(bytes);
    else if (field === 2) answer.succeeded = number !== 0;
    else if (field === 3) responses.push(...readOperations(bytes));
  }
  return answer;
}

function readOperations(message: Buffer): Response[] {
  const decoders = [undefined, decodeRange, decodePut, decodeDelete, decodeTxn];
  return [...readFields(message)].map(({ field, bytes }) => {
    const decode = decoders[field];
    if (decode === undefined) throw new Error(`Cannot read transaction: answer of kind ${field} does not exist`);
    return decode(bytes);
  });
}

/** CompactionResponse and LeaseRevokeResponse: a header. */
export function decodeHeaderOnly(kind: "compact" | "leaseRevoke"): (message: Buffer) => Response {
  return (message) => {
    let revision = 0;
    for (const { field, bytes } of readFields(message)) if (field === 1) revision = readRevision(bytes);
    return { kind, revision };
  };
}

/** The three answers about a lease number their fields alike; only leaseTimeToLive has `granted`. */
export function decodeLease(kind: "leaseGrant" | "leaseKeepAlive" | "leaseTimeToLive"): (message: Buffer) => Response {
  return (message) => {
    const answer: Of<typeof kind> = { kind, revision: 0, id: 0, ttl: 0, granted: 0 };
    for (const { field, number, bytes } of readFields(message)) {
      if (field === 1) answer.revision = readRevision(bytes);
      else if (field === 2) answer.id = number;
      else if (field === 3) answer.ttl = number;
      else if (field === 4 && kind === "leaseTimeToLive") answer.granted = number;
    }
    return answer;
  };
}

export function decodeWatch(message: Buffer): WatchMessage {
  const events: WatchEvent[] = [];
  const answer: Mutable<WatchMessage> = {
    revision: 0,
    watchId: 0,
    created: false,
    canceled: false,
    compactRevision: 0,
    cancelReason: "",
    fragment: false,
    events,
  };
  for (const { field, number, bytes } of readFields(message)) {
    if (field === 1) answer.revision = readRevision(bytes);
    else if (field === 2) answer.watchId = number;
    else if (field === 3) answer.created = number !== 0;
    else if (field === 4) answer.canceled = number !== 0;
    else if (field === 5) answer.compactRevision = number;
    else if (field === 6) answer.cancelReason = toText(bytes);
    else if (field === 7) answer.fragment = number !== 0;
    else if (field === 11) events.push(readEvent(bytes));
  }
  return answer;
}

function readEvent(message: Buffer): WatchEvent {
  const event: Mutable<WatchEvent> = { type: "put", kv: readKeyValue(Buffer.alloc(0)), prevKv: undefined };
  for (const { field, number, bytes } of readFields(message)) {
    if (field === 1) event.type = number === 1 ? "delete" : "put";
    else if (field === 2) event.kv = readKeyValue(bytes);
    else if (field === 3) event.prevKv = readKeyValue(bytes);
  }
  return event;
}

/** Version text of a StatusResponse. */
export function decodeServerVersion(message: Buffer): string {
  for (const { field, bytes } of readFields(message)) if (field === 2) return toText(bytes);
  return "";
}
