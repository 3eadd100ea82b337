import type { KeyValue } from "@k3s/datastore";
import type { ProtoWriter } from "../proto/proto-writer.ts";

/** etcdserverpb.ResponseHeader: present, with every field non-zero, in every answer. */
export interface Header {
  readonly clusterId: bigint;
  readonly memberId: bigint;
  /** Current revision of the store, also when an older one was read. */
  readonly revision: number;
  readonly raftTerm: number;
}

export const EMPTY = Buffer.alloc(0);

export function writeHeader(writer: ProtoWriter, header: Header): void {
  writer.message(1, () => {
    writer.int64(4, header.raftTerm);
    writer.int64(3, header.revision);
    writer.bigint64(2, header.memberId);
    writer.bigint64(1, header.clusterId);
  });
}

/** mvccpb.KeyValue as field `field` of the message being written. */
export function writeKeyValue(writer: ProtoWriter, field: number, kv: KeyValue): void {
  writer.message(field, () => {
    writer.bigint64(6, kv.lease);
    writer.bytes(5, kv.value);
    writer.int64(4, kv.version);
    writer.int64(3, kv.modRevision);
    writer.int64(2, kv.createRevision);
    writer.bytes(1, kv.key);
  });
}

/** Upper bound of what {@link writeKeyValue} writes, in bytes. */
export function keyValueSize(kv: KeyValue): number {
  return kv.key.length + kv.value.length + 64;
}
