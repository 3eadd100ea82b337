import type { DeleteOp, KeyValue, PutOp } from "@k3s/datastore";
import { decodeInto, type Fields } from "../proto/proto-reader.ts";
import type { ProtoWriter } from "../proto/proto-writer.ts";
import { EMPTY, writeHeader, writeKeyValue, type Header } from "./common.ts";

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

const putFields: Fields<Mutable<PutOp>> = {
  1: (m, r) => (m.key = r.bytes()),
  2: (m, r) => (m.value = r.bytes()),
  3: (m, r) => (m.lease = r.bigint64()),
  4: (m, r) => (m.prevKv = r.bool()),
  5: (m, r) => (m.ignoreValue = r.bool()),
  6: (m, r) => (m.ignoreLease = r.bool()),
};

/** etcdserverpb.PutRequest. */
export function decodePut(bytes: Buffer): PutOp {
  const flags = { prevKv: false, ignoreValue: false, ignoreLease: false };
  return decodeInto<Mutable<PutOp>>({ kind: "put", key: EMPTY, value: EMPTY, lease: 0n, ...flags }, bytes, putFields);
}

export function writePutResponse(writer: ProtoWriter, header: Header, prevKv: KeyValue | undefined): void {
  if (prevKv !== undefined) writeKeyValue(writer, 2, prevKv);
  writeHeader(writer, header);
}

const deleteFields: Fields<Mutable<DeleteOp>> = {
  1: (m, r) => (m.key = r.bytes()),
  2: (m, r) => (m.rangeEnd = r.bytes()),
  3: (m, r) => (m.prevKv = r.bool()),
};

/** etcdserverpb.DeleteRangeRequest. */
export function decodeDelete(bytes: Buffer): DeleteOp {
  return decodeInto<Mutable<DeleteOp>>(
    { kind: "delete", key: EMPTY, rangeEnd: EMPTY, prevKv: false },
    bytes,
    deleteFields,
  );
}

interface Deleted {
  readonly deleted: number;
  readonly prevKvs: readonly KeyValue[];
}

export function writeDeleteResponse(writer: ProtoWriter, header: Header, { deleted, prevKvs }: Deleted): void {
  for (const kv of prevKvs.toReversed()) writeKeyValue(writer, 3, kv);
  writer.int64(2, deleted);
  writeHeader(writer, header);
}

/** etcdserverpb.CompactionRequest: the revision. Its field `physical` changes nothing here. */
export function decodeCompaction(bytes: Buffer): number {
  return decodeInto({ revision: 0 }, bytes, { 1: (m, r) => (m.revision = r.int64()) }).revision;
}
