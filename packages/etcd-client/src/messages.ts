import { decodeInto, encode, type Fields, type ProtoWriter } from "@k3s/etcd-api";

/** A key as etcd keeps it. */
export interface EtcdKeyValue {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
  /** 0n: none. */
  readonly lease: bigint;
}

/** Keys from `key` on, up to but not including `rangeEnd`; without it the one key. One zero byte: to the end. */
export interface RangeRequest {
  readonly key: Buffer;
  readonly rangeEnd?: Buffer;
  /** 0: all. */
  readonly limit?: number;
  /** 0: the current one. */
  readonly revision?: number;
  readonly keysOnly?: boolean;
  readonly countOnly?: boolean;
}

export interface EtcdRange {
  /** Revision of the store when it answered. */
  readonly revision: number;
  readonly kvs: readonly EtcdKeyValue[];
  readonly more: boolean;
  readonly count: number;
}

export interface EtcdStatus {
  readonly version: string;
  readonly dbSizeBytes: number;
  /** 0 where the server does not tell. */
  readonly dbSizeInUseBytes: number;
  readonly revision: number;
}

/** A lease; undefined times mean that it is not known any more. */
export interface EtcdLease {
  readonly id: bigint;
  readonly grantedTtlSeconds: number;
  /** Below 0: it has ended. */
  readonly remainingTtlSeconds: number;
}

/** A write that happens only while the key was last changed at `modRevision`; 0: while there is no such key. */
export interface GuardedWrite {
  readonly key: Buffer;
  readonly modRevision: number;
  /** Undefined: the key is deleted. */
  readonly value: Buffer | undefined;
  /** The key goes when this lease ends. */
  readonly lease?: bigint;
}

type Mutable<T> = { -readonly [Name in keyof T]: T[Name] };

// Numbers of etcd's api/etcdserverpb/rpc.proto and api/mvccpb/kv.proto.
const COMPARE_MOD = 2;
const EMPTY = Buffer.alloc(0);

const keyValueFields: Fields<Mutable<EtcdKeyValue>> = {
  1: (m, r) => (m.key = r.bytes()),
  2: (m, r) => (m.createRevision = r.int64()),
  3: (m, r) => (m.modRevision = r.int64()),
  4: (m, r) => (m.version = r.int64()),
  5: (m, r) => (m.value = r.bytes()),
  6: (m, r) => (m.lease = r.bigint64()),
};

const rangeFields: Fields<Mutable<EtcdRange> & { readonly kvs: EtcdKeyValue[] }> = {
  1: (m, r) => (m.revision = decodeHeader(r.bytes())),
  2: (m, r) => m.kvs.push(decodeKeyValue(r.bytes())),
  3: (m, r) => (m.more = r.bool()),
  4: (m, r) => (m.count = r.int64()),
};

const statusFields: Fields<Mutable<EtcdStatus>> = {
  1: (m, r) => (m.revision = decodeHeader(r.bytes())),
  2: (m, r) => (m.version = r.string()),
  3: (m, r) => (m.dbSizeBytes = r.int64()),
  9: (m, r) => (m.dbSizeInUseBytes = r.int64()),
};

/** etcdserverpb.RangeRequest. */
export function encodeRange(request: RangeRequest): Buffer {
  return encode((writer) => {
    writer.bool(9, request.countOnly ?? false);
    writer.bool(8, request.keysOnly ?? false);
    writer.int64(4, request.revision ?? 0);
    writer.int64(3, request.limit ?? 0);
    writer.bytes(2, request.rangeEnd ?? EMPTY);
    writer.bytes(1, request.key);
  });
}

/** etcdserverpb.RangeResponse. */
export function decodeRange(bytes: Buffer): EtcdRange {
  return decodeInto({ revision: 0, kvs: [], more: false, count: 0 }, bytes, rangeFields);
}

/** etcdserverpb.TxnRequest with one comparison and one write. */
export function encodeGuardedWrite(write: GuardedWrite): Buffer {
  return encode((writer) => {
    writer.message(2, () => writeOperation(writer, write));
    writer.message(1, () => {
      writer.presentInt64(6, write.modRevision);
      writer.bytes(3, write.key);
      writer.int64(2, COMPARE_MOD);
    });
  });
}

/** Whether the comparison of an etcdserverpb.TxnResponse held. */
export function decodeSucceeded(bytes: Buffer): boolean {
  return decodeInto({ succeeded: false }, bytes, { 2: (m, r) => (m.succeeded = r.bool()) }).succeeded;
}

/** etcdserverpb.CompactionRequest. `isPhysical`: answered once the space is free. */
export function encodeCompaction(revision: number, isPhysical: boolean): Buffer {
  return encode((writer) => {
    writer.bool(2, isPhysical);
    writer.int64(1, revision);
  });
}

/** etcdserverpb.StatusResponse. */
export function decodeStatus(bytes: Buffer): EtcdStatus {
  return decodeInto({ version: "", dbSizeBytes: 0, dbSizeInUseBytes: 0, revision: 0 }, bytes, statusFields);
}

/** etcdserverpb.LeaseGrantRequest; the server chooses the id. */
export function encodeGrant(ttlSeconds: number): Buffer {
  return encode((writer) => writer.int64(1, ttlSeconds));
}

/** The id in an etcdserverpb.LeaseGrantResponse. */
export function decodeGranted(bytes: Buffer): bigint {
  return decodeInto({ id: 0n }, bytes, { 2: (m, r) => (m.id = r.bigint64()) }).id;
}

/** The ids of an etcdserverpb.LeaseLeasesResponse. */
export function decodeLeaseIds(bytes: Buffer): readonly bigint[] {
  const { ids } = decodeInto<{ ids: bigint[] }>({ ids: [] }, bytes, {
    2: (m, r) => m.ids.push(decodeInto({ id: 0n }, r.bytes(), { 1: (lease, each) => (lease.id = each.bigint64()) }).id),
  });
  return ids;
}

/** etcdserverpb.LeaseTimeToLiveRequest without keys. */
export function encodeTimeToLive(id: bigint): Buffer {
  return encode((writer) => writer.bigint64(1, id));
}

/** etcdserverpb.LeaseTimeToLiveResponse. */
export function decodeTimeToLive(bytes: Buffer): EtcdLease {
  const lease = { id: 0n, grantedTtlSeconds: 0, remainingTtlSeconds: 0 };
  return decodeInto(lease, bytes, {
    2: (m, r) => (m.id = r.bigint64()),
    3: (m, r) => (m.remainingTtlSeconds = r.int64()),
    4: (m, r) => (m.grantedTtlSeconds = r.int64()),
  });
}

function decodeHeader(bytes: Buffer): number {
  return decodeInto({ revision: 0 }, bytes, { 3: (m, r) => (m.revision = r.int64()) }).revision;
}

function decodeKeyValue(bytes: Buffer): EtcdKeyValue {
  const empty = { key: EMPTY, value: EMPTY, createRevision: 0, modRevision: 0, version: 0, lease: 0n };
  return decodeInto<Mutable<EtcdKeyValue>>(empty, bytes, keyValueFields);
}

function writeOperation(writer: ProtoWriter, { key, value, lease = 0n }: GuardedWrite): void {
  if (value === undefined) {
    writer.message(3, () => writer.bytes(1, key));
    return;
  }
  writer.message(2, () => {
    writer.bigint64(3, lease);
    writer.bytes(2, value);
    writer.bytes(1, key);
  });
}
