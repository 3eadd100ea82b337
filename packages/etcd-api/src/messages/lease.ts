import type { LeaseInfo } from "@k3s/datastore";
import { decodeInto } from "../proto/proto-reader.ts";
import type { ProtoWriter } from "../proto/proto-writer.ts";
import { writeHeader, type Header } from "./common.ts";

/** etcdserverpb.LeaseGrantRequest. */
export function decodeLeaseGrant(bytes: Buffer): { ttlSeconds: number; id: bigint } {
  return decodeInto({ ttlSeconds: 0, id: 0n }, bytes, {
    1: (m, r) => (m.ttlSeconds = r.int64()),
    2: (m, r) => (m.id = r.bigint64()),
  });
}

/** Field 1 of LeaseRevokeRequest and LeaseKeepAliveRequest. */
export function decodeLeaseId(bytes: Buffer): bigint {
  return decodeInto({ id: 0n }, bytes, { 1: (m, r) => (m.id = r.bigint64()) }).id;
}

/** etcdserverpb.LeaseTimeToLiveRequest. */
export function decodeLeaseTimeToLive(bytes: Buffer): { id: bigint; keys: boolean } {
  return decodeInto<{ id: bigint; keys: boolean }>({ id: 0n, keys: false }, bytes, {
    1: (m, r) => (m.id = r.bigint64()),
    2: (m, r) => (m.keys = r.bool()),
  });
}

/** LeaseGrantResponse and LeaseKeepAliveResponse have the same fields. */
export function writeLease(writer: ProtoWriter, header: Header, lease: { id: bigint; ttlSeconds: number }): void {
  writer.int64(3, lease.ttlSeconds);
  writer.bigint64(2, lease.id);
  writeHeader(writer, header);
}

export function writeLeaseTimeToLive(writer: ProtoWriter, header: Header, lease: LeaseInfo): void {
  for (const key of lease.keys.toReversed()) writer.presentBytes(5, key);
  writer.int64(4, lease.grantedTtlSeconds);
  writer.int64(3, lease.remainingTtlSeconds);
  writer.bigint64(2, lease.id);
  writeHeader(writer, header);
}

export function writeLeases(writer: ProtoWriter, header: Header, ids: readonly bigint[]): void {
  for (const id of ids.toReversed()) writer.message(2, () => writer.bigint64(1, id));
  writeHeader(writer, header);
}
