import type { WatchEvent } from "@k3s/datastore";
import { decodeInto, type Fields } from "../proto/proto-reader.ts";
import { encode, type ProtoWriter } from "../proto/proto-writer.ts";
import { EMPTY, keyValueSize, writeHeader, writeKeyValue, type Header } from "./common.ts";

/** etcdserverpb.WatchCreateRequest. */
export interface WatchCreate {
  key: Buffer;
  rangeEnd: Buffer;
  startRevision: number;
  progressNotify: boolean;
  noPut: boolean;
  noDelete: boolean;
  prevKv: boolean;
  watchId: number;
  fragment: boolean;
}

/** etcdserverpb.WatchRequest; "unknown" for a union member of a newer protocol. */
export type WatchRequest =
  | { readonly kind: "create"; readonly create: WatchCreate }
  | { readonly kind: "cancel"; readonly watchId: number }
  | { readonly kind: "progress" }
  | { readonly kind: "unknown" };

const FILTER_NOPUT = 0;
const FILTER_NODELETE = 1;

const createFields: Fields<WatchCreate> = {
  1: (m, r) => (m.key = r.bytes()),
  2: (m, r) => (m.rangeEnd = r.bytes()),
  3: (m, r) => (m.startRevision = r.int64()),
  4: (m, r) => (m.progressNotify = r.bool()),
  5: (m, r) => r.packedInt64((filter) => addFilter(m, filter)),
  6: (m, r) => (m.prevKv = r.bool()),
  7: (m, r) => (m.watchId = r.int64()),
  8: (m, r) => (m.fragment = r.bool()),
};

const requestFields: Fields<{ request: WatchRequest }> = {
  1: (m, r) => (m.request = { kind: "create", create: decodeCreate(r.bytes()) }),
  2: (m, r) => (m.request = { kind: "cancel", watchId: decodeCancel(r.bytes()) }),
  3: (m, r) => {
    r.skip();
    m.request = { kind: "progress" };
  },
};

export function decodeWatchRequest(bytes: Buffer): WatchRequest {
  return decodeInto<{ request: WatchRequest }>({ request: { kind: "unknown" } }, bytes, requestFields).request;
}

/** etcdserverpb.WatchResponse; what is left out is zero on the wire. */
export interface WatchResponse {
  readonly header: Header;
  readonly watchId: number;
  readonly created?: boolean;
  readonly canceled?: boolean;
  readonly compactRevision?: number;
  readonly cancelReason?: string;
  /** More messages of the same revision follow. */
  readonly fragment?: boolean;
  /** Encoded events of {@link encodeEvent}. */
  readonly events?: readonly Uint8Array[];
}

export function encodeWatchResponse(response: WatchResponse): Buffer {
  const events = response.events ?? [];
  const size = events.reduce((sum, event) => sum + event.length + 8, 128);
  return encode((writer) => {
    for (const event of events.toReversed()) writer.presentBytes(11, event);
    writer.bool(7, response.fragment ?? false);
    writer.string(6, response.cancelReason ?? "");
    writer.int64(5, response.compactRevision ?? 0);
    writer.bool(4, response.canceled ?? false);
    writer.bool(3, response.created ?? false);
    writer.int64(2, response.watchId);
    writeHeader(writer, response.header);
  }, size);
}

/** mvccpb.Event. A delete carries only the key and the revision of its own. */
export function encodeEvent({ type, kv, prevKv }: WatchEvent, withPrevKv: boolean): Buffer {
  const previous = withPrevKv ? prevKv : undefined;
  const size = keyValueSize(kv) + (previous === undefined ? 0 : keyValueSize(previous)) + 16;
  return encode((writer) => {
    if (previous !== undefined) writeKeyValue(writer, 3, previous);
    if (type === "put") writeKeyValue(writer, 2, kv);
    else writeTombstone(writer, kv);
    writer.bool(1, type === "delete");
  }, size);
}

function writeTombstone(writer: ProtoWriter, kv: WatchEvent["kv"]): void {
  writer.message(2, () => {
    writer.int64(3, kv.modRevision);
    writer.bytes(1, kv.key);
  });
}

function decodeCreate(bytes: Buffer): WatchCreate {
  const empty: WatchCreate = {
    key: EMPTY,
    rangeEnd: EMPTY,
    startRevision: 0,
    progressNotify: false,
    noPut: false,
    noDelete: false,
    prevKv: false,
    watchId: 0,
    fragment: false,
  };
  return decodeInto(empty, bytes, createFields);
}

function decodeCancel(bytes: Buffer): number {
  return decodeInto({ watchId: 0 }, bytes, { 1: (m, r) => (m.watchId = r.int64()) }).watchId;
}

function addFilter(create: WatchCreate, filter: number): void {
  if (filter === FILTER_NOPUT) create.noPut = true;
  else if (filter === FILTER_NODELETE) create.noDelete = true; // others are none: etcd passes them over
}
