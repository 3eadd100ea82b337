import { decodeInto, encode, type Fields, type ProtoReader, type ProtoWriter } from "@k3s/etcd-api";

// The client's half of the protocol, as far as the tests speak it: field numbers of etcd's rpc.proto. Keys and values are
// strings of one char per byte, so that they compare as their bytes do.

/** Fields of RangeRequest; those left out have their default. */
export interface RangeArgs {
  readonly key: string;
  readonly end?: string;
  readonly limit?: number;
  readonly revision?: number;
  readonly sort?: readonly [order: number, target: number];
  readonly serializable?: boolean;
  readonly keysOnly?: boolean;
  readonly countOnly?: boolean;
  readonly minMod?: number;
  readonly maxMod?: number;
  readonly minCreate?: number;
  readonly maxCreate?: number;
}

/** Encodes a RangeRequest. */
export function rangeRequest(args: RangeArgs): Buffer {
  return encode((w) => {
    writeBounds(w, args);
    w.bool(9, args.countOnly ?? false);
    w.bool(8, args.keysOnly ?? false);
    w.bool(7, args.serializable ?? false);
    w.int64(6, args.sort?.[1] ?? 0);
    w.int64(5, args.sort?.[0] ?? 0);
    w.int64(4, args.revision ?? 0);
    w.int64(3, args.limit ?? 0);
    text(w, 2, args.end ?? "");
    text(w, 1, args.key);
  });
}

function writeBounds(w: ProtoWriter, { minMod, maxMod, minCreate, maxCreate }: RangeArgs): void {
  w.int64(13, maxCreate ?? 0);
  w.int64(12, minCreate ?? 0);
  w.int64(11, maxMod ?? 0);
  w.int64(10, minMod ?? 0);
}

/** Fields of PutRequest; those left out have their default. */
export interface PutArgs {
  readonly key: string;
  readonly value?: string;
  readonly lease?: bigint;
  readonly prevKv?: boolean;
  readonly ignoreValue?: boolean;
  readonly ignoreLease?: boolean;
}

/** Encodes a PutRequest. */
export function putRequest(args: PutArgs): Buffer {
  return encode((w) => {
    w.bool(6, args.ignoreLease ?? false);
    w.bool(5, args.ignoreValue ?? false);
    w.bool(4, args.prevKv ?? false);
    w.bigint64(3, args.lease ?? 0n);
    text(w, 2, args.value ?? "");
    text(w, 1, args.key);
  });
}

/** Encodes a DeleteRangeRequest. */
export function deleteRequest(args: {
  readonly key: string;
  readonly end?: string;
  readonly prevKv?: boolean;
}): Buffer {
  return encode((w) => {
    w.bool(3, args.prevKv ?? false);
    text(w, 2, args.end ?? "");
    text(w, 1, args.key);
  });
}

/** Compare.CompareResult and Compare.CompareTarget by number. */
const results = ["equal", "greater", "less", "notEqual"] as const;
const targets = ["version", "create", "mod", "value", "lease"] as const;

/** Fields of Compare; a text is compared as a value, a number as what `target` says. */
export interface CompareArgs {
  readonly key: string;
  readonly end?: string;
  readonly target: (typeof targets)[number];
  readonly result?: (typeof results)[number];
  readonly value: number | bigint | string;
}

/** Encodes a Compare. */
export function compare({ key, end = "", target, result = "equal", value }: CompareArgs): Buffer {
  return encode((w) => {
    text(w, 64, end);
    const field = 4 + targets.indexOf(target);
    if (typeof value === "string") w.presentBytes(field, Buffer.from(value, "latin1"));
    else w.presentBigint64(field, BigInt(value));
    text(w, 3, key);
    w.int64(2, targets.indexOf(target));
    w.int64(1, results.indexOf(result));
  });
}

/** A comparison of the mod revision, the one kube-apiserver uses. */
export function modEquals(key: string, modRevision: number): Buffer {
  return compare({ key, target: "mod", value: modRevision });
}

/** Encoders of RequestOp, one for each kind; `empty` has none. */
export const txnOp = {
  range: (args: RangeArgs) => encode((w) => w.presentBytes(1, rangeRequest(args))),
  put: (args: PutArgs) => encode((w) => w.presentBytes(2, putRequest(args))),
  delete: (key: string, end = "") => encode((w) => w.presentBytes(3, deleteRequest({ key, end }))),
  txn: (txn: Buffer) => encode((w) => w.presentBytes(4, txn)),
  empty: () => Buffer.alloc(0),
};

/** Encoded comparisons and operations, in their order. */
export interface TxnArgs {
  readonly compare?: readonly Buffer[];
  readonly success?: readonly Buffer[];
  readonly failure?: readonly Buffer[];
}

/** Encodes a TxnRequest. */
export function txnRequest({ compare = [], success = [], failure = [] }: TxnArgs): Buffer {
  return encode((w) => {
    for (const one of failure.toReversed()) w.presentBytes(3, one);
    for (const one of success.toReversed()) w.presentBytes(2, one);
    for (const one of compare.toReversed()) w.presentBytes(1, one);
  });
}

function text(w: ProtoWriter, field: number, value: string): void {
  w.bytes(field, Buffer.from(value, "latin1"));
}

/** A message whose only content is int64 fields by number. */
export function int64Message(fields: Readonly<Record<number, number | bigint>>): Buffer {
  const entries = Object.entries(fields).toReversed();
  return encode((w) => {
    for (const [field, value] of entries) w.presentBigint64(Number(field), BigInt(value));
  });
}

/** Fields of WatchCreateRequest; those left out have their default. */
export interface WatchArgs {
  readonly key: string;
  readonly end?: string;
  readonly start?: number;
  readonly progress?: boolean;
  readonly prevKv?: boolean;
  readonly watchId?: number;
  readonly filters?: readonly number[];
  readonly fragment?: boolean;
}

/** Encoders of WatchRequest, one for each kind. */
export const watchRequest = {
  create: (args: WatchArgs) => encode((w) => w.message(1, () => writeCreate(w, args))),
  cancel: (watchId: number) => encode((w) => w.message(2, () => w.int64(1, watchId))),
  progress: () => encode((w) => w.message(3, () => undefined)),
};

function writeCreate(w: ProtoWriter, args: WatchArgs): void {
  w.bool(8, args.fragment ?? false);
  w.int64(7, args.watchId ?? 0);
  w.bool(6, args.prevKv ?? false);
  if (args.filters !== undefined) w.presentBytes(5, Buffer.from(args.filters));
  w.bool(4, args.progress ?? false);
  w.int64(3, args.start ?? 0);
  text(w, 2, args.end ?? "");
  text(w, 1, args.key);
}

/** ResponseHeader. */
export interface Header {
  clusterId: bigint;
  memberId: bigint;
  revision: number;
  raftTerm: number;
}

/** KeyValue; `create` and `mod` are revisions. */
export interface Kv {
  key: string;
  create: number;
  mod: number;
  version: number;
  value: string;
  lease: bigint;
}

const kvFields: Fields<Kv> = {
  1: (m, r) => (m.key = r.bytes().toString("latin1")),
  2: (m, r) => (m.create = r.int64()),
  3: (m, r) => (m.mod = r.int64()),
  4: (m, r) => (m.version = r.int64()),
  5: (m, r) => (m.value = r.bytes().toString("latin1")),
  6: (m, r) => (m.lease = r.bigint64()),
};

/** Any answer of the API, flat: fields that a message does not have stay undefined. */
export interface Answer {
  header?: Header;
  kvs: Kv[];
  prevKv?: Kv;
  more?: boolean;
  count?: number;
  deleted?: number;
  succeeded?: boolean;
  responses: Answer[];
}

const answer = (bytes: Buffer, fields: Fields<Answer>) => decodeInto<Answer>({ kvs: [], responses: [] }, bytes, fields);
const readKv = (bytes: Buffer) =>
  decodeInto<Kv>({ key: "", create: 0, mod: 0, version: 0, value: "", lease: 0n }, bytes, kvFields);

/** Decodes a ResponseHeader. */
export function readHeader(bytes: Buffer): Header {
  return decodeInto<Header>({ clusterId: 0n, memberId: 0n, revision: 0, raftTerm: 0 }, bytes, {
    1: (m, r) => (m.clusterId = BigInt.asUintN(64, r.bigint64())),
    2: (m, r) => (m.memberId = BigInt.asUintN(64, r.bigint64())),
    3: (m, r) => (m.revision = r.int64()),
    4: (m, r) => (m.raftTerm = r.int64()),
  });
}

const header = (m: { header?: Header }, r: ProtoReader) => (m.header = readHeader(r.bytes()));
const kv = (m: Answer, r: ProtoReader) => m.kvs.push(readKv(r.bytes()));

/** Decoders of the answers of service KV. */
export const readAnswer = {
  header: (bytes: Buffer) => answer(bytes, { 1: header }),
  range: (bytes: Buffer) =>
    answer(bytes, { 1: header, 2: kv, 3: (m, r) => (m.more = r.bool()), 4: (m, r) => (m.count = r.int64()) }),
  put: (bytes: Buffer) => answer(bytes, { 1: header, 2: (m, r) => (m.prevKv = readKv(r.bytes())) }),
  delete: (bytes: Buffer) => answer(bytes, { 1: header, 2: (m, r) => (m.deleted = r.int64()), 3: kv }),
  txn: (bytes: Buffer): Answer =>
    answer(bytes, {
      1: header,
      2: (m, r) => (m.succeeded = r.bool()),
      3: (m, r) => {
        decodeInto(m, r.bytes(), {
          1: (to, op) => to.responses.push(readAnswer.range(op.bytes())),
          2: (to, op) => to.responses.push(readAnswer.put(op.bytes())),
          3: (to, op) => to.responses.push(readAnswer.delete(op.bytes())),
          4: (to, op) => to.responses.push(readAnswer.txn(op.bytes())),
        });
      },
    }),
};

/** What answers of service Lease have in common; times in seconds. */
export interface Lease {
  header?: Header;
  id: bigint;
  ttl: number;
  granted: number;
  keys: string[];
}

/** LeaseGrantResponse, LeaseKeepAliveResponse and LeaseTimeToLiveResponse number these fields alike. */
export function readLease(bytes: Buffer): Lease {
  return decodeInto<Lease>({ id: 0n, ttl: 0, granted: 0, keys: [] }, bytes, {
    1: header,
    2: (m, r) => (m.id = r.bigint64()),
    3: (m, r) => (m.ttl = r.int64()),
    4: (m, r) => (m.granted = r.int64()),
    5: (m, r) => m.keys.push(r.bytes().toString("latin1")),
  });
}

/** An event of a watch; `prevKv` only where it was asked for. */
export interface Event {
  type: "put" | "delete";
  kv: Kv | undefined;
  prevKv: Kv | undefined;
}

/** WatchResponse; flags that were not sent are false, numbers 0. */
export interface WatchAnswer {
  header?: Header;
  watchId: number;
  created: boolean;
  canceled: boolean;
  compactRevision: number;
  reason: string;
  fragment: boolean;
  events: Event[];
}

/** Decodes a WatchResponse. */
export function readWatch(bytes: Buffer): WatchAnswer {
  const flags = { created: false, canceled: false, fragment: false };
  return decodeInto<WatchAnswer>({ ...flags, watchId: 0, compactRevision: 0, reason: "", events: [] }, bytes, {
    1: header,
    2: (m, r) => (m.watchId = r.int64()),
    3: (m, r) => (m.created = r.bool()),
    4: (m, r) => (m.canceled = r.bool()),
    5: (m, r) => (m.compactRevision = r.int64()),
    6: (m, r) => (m.reason = r.bytes().toString("latin1")),
    7: (m, r) => (m.fragment = r.bool()),
    11: (m, r) => m.events.push(readEvent(r.bytes())),
  });
}

function readEvent(bytes: Buffer): Event {
  return decodeInto<Event>({ type: "put", kv: undefined, prevKv: undefined }, bytes, {
    1: (m, r) => (m.type = r.int64() === 1 ? "delete" : "put"),
    2: (m, r) => (m.kv = readKv(r.bytes())),
    3: (m, r) => (m.prevKv = readKv(r.bytes())),
  });
}
