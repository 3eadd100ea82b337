import type { CompareResult, DeleteOp, OpResult, PutOp, TxnResult } from "@k3s/datastore";
import { decodeInto, type Fields, type ProtoReader } from "../proto/proto-reader.ts";
import type { ProtoWriter } from "../proto/proto-writer.ts";
import { EMPTY, keyValueSize, writeHeader, type Header } from "./common.ts";
import { decodeRange, rangeResponseSize, writeRangeResponse, type RangeRequest } from "./range.ts";
import { decodeDelete, decodePut, writeDeleteResponse, writePutResponse } from "./write.ts";

/** etcdserverpb.RequestOp; `undefined` when its union is empty. A nested transaction waits for {@link decodeTxn}. */
export type RequestOp =
  | PutOp
  | DeleteOp
  | { readonly kind: "range"; readonly range: RangeRequest }
  | { readonly kind: "txn"; readonly encoded: Buffer }
  | undefined;

export interface TxnRequest {
  readonly compare: CompareRequest[];
  readonly success: RequestOp[];
  readonly failure: RequestOp[];
}

/** etcdserverpb.Compare. A union member that was not sent stays zero. */
export interface CompareRequest {
  result: number;
  target: number;
  key: Buffer;
  rangeEnd: Buffer;
  number: number;
  lease: bigint;
  value: Buffer;
}

/** Compare.CompareResult by number. */
export const compareResults: readonly CompareResult[] = ["equal", "greater", "less", "notEqual"];
/** Compare.CompareTarget by number. */
export const compareTargets = ["version", "create", "mod", "value", "lease"] as const;

const compareFields: Fields<CompareRequest> = {
  1: (m, r) => (m.result = r.int64()),
  2: (m, r) => (m.target = r.int64()),
  3: (m, r) => (m.key = r.bytes()),
  4: (m, r) => (m.number = r.int64()),
  5: (m, r) => (m.number = r.int64()),
  6: (m, r) => (m.number = r.int64()),
  7: (m, r) => (m.value = r.bytes()),
  8: (m, r) => (m.lease = r.bigint64()),
  64: (m, r) => (m.rangeEnd = r.bytes()),
};

const opFields: Fields<{ op: RequestOp }> = {
  1: (m, r) => (m.op = { kind: "range", range: decodeRange(r.bytes()) }),
  2: (m, r) => (m.op = decodePut(r.bytes())),
  3: (m, r) => (m.op = decodeDelete(r.bytes())),
  4: (m, r) => (m.op = { kind: "txn", encoded: r.bytes() }),
};

const txnFields: Fields<TxnRequest> = {
  1: (m, r) => m.compare.push(decodeCompare(r.bytes())),
  2: (m, r) => m.success.push(decodeOp(r.bytes())),
  3: (m, r) => m.failure.push(decodeOp(r.bytes())),
};

/** etcdserverpb.TxnRequest. */
export function decodeTxn(bytes: Buffer): TxnRequest {
  return decodeInto<TxnRequest>({ compare: [], success: [], failure: [] }, bytes, txnFields);
}

/**
 * Entries in the longest list of a TxnRequest, which are not looked at: a message of two megabytes has room for a million of
 * them, and to read those takes long. Throws ProtoError.
 */
export function longestTxnList(bytes: Buffer): number {
  const counts: [compare: number, success: number, failure: number] = [0, 0, 0];
  decodeInto(counts, bytes, {
    1: (m, r) => count(m, 0, r),
    2: (m, r) => count(m, 1, r),
    3: (m, r) => count(m, 2, r),
  });
  return Math.max(...counts);
}

function count(counts: [number, number, number], list: 0 | 1 | 2, reader: ProtoReader): void {
  reader.skip();
  counts[list]++;
}

/** Answers inside the answer carry a header with nothing but the revision, as etcd's do. */
export function writeTxnResponse(writer: ProtoWriter, header: Header, txn: TxnResult): void {
  const inner: Header = { clusterId: 0n, memberId: 0n, raftTerm: 0, revision: header.revision };
  for (const result of txn.results.toReversed()) writer.message(3, () => writeOpResult(writer, inner, result));
  writer.bool(2, txn.succeeded);
  writeHeader(writer, header);
}

/** Upper bound of the encoded size in bytes. */
export function txnResponseSize(txn: TxnResult): number {
  return txn.results.reduce((sum, result) => sum + 64 + opResultSize(result), 128);
}

function decodeCompare(bytes: Buffer): CompareRequest {
  const empty = { result: 0, target: 0, key: EMPTY, rangeEnd: EMPTY, number: 0, lease: 0n, value: EMPTY };
  return decodeInto<CompareRequest>(empty, bytes, compareFields);
}

function decodeOp(bytes: Buffer): RequestOp {
  return decodeInto<{ op: RequestOp }>({ op: undefined }, bytes, opFields).op;
}

function writeOpResult(writer: ProtoWriter, header: Header, result: OpResult): void {
  switch (result.kind) {
    case "range": {
      const { revision } = result.range;
      writer.message(1, () => writeRangeResponse(writer, { ...header, revision }, result.range));
      return;
    }
    case "put": {
      writer.message(2, () => writePutResponse(writer, header, result.prevKv));
      return;
    }
    case "delete": {
      const { revision } = result;
      writer.message(3, () => writeDeleteResponse(writer, { ...header, revision }, result));
      return;
    }
    case "txn": {
      writer.message(4, () => writeTxnResponse(writer, header, result.txn));
      return;
    }
  }
}

function opResultSize(result: OpResult): number {
  switch (result.kind) {
    case "range":
      return rangeResponseSize(result.range);
    case "put":
      return result.prevKv === undefined ? 64 : keyValueSize(result.prevKv);
    case "delete":
      return result.prevKvs.reduce((sum, kv) => sum + keyValueSize(kv), 64);
    case "txn":
      return txnResponseSize(result.txn);
  }
}
