import type { Compare, Op, RangeQuery, Txn } from "@k3s/datastore";
import { toRangeQuery, type RangeRequest } from "./messages/range.ts";
import {
  compareResults,
  compareTargets,
  decodeTxn,
  longestTxnList,
  type CompareRequest,
  type RequestOp,
} from "./messages/txn.ts";
import { Code, RpcError } from "./rpc-error.ts";

/** Most operations in any list of a transaction, as etcd's default --max-txn-ops. */
const TXN_OPS_MAX = 128;

/**
 * An etcdserverpb.TxnRequest as the store takes it. Refuses what the store cannot be told of; keys, flags and
 * duplicates are its to check. Throws RpcError and ProtoError.
 */
export function toTxn(bytes: Buffer): Txn {
  return translate(bytes, TXN_OPS_MAX);
}

/** Throws RpcError for a sort that does not exist. */
export function toQuery(request: RangeRequest): RangeQuery {
  const query = toRangeQuery(request);
  if (query === undefined) throw RpcError.of("invalidSortOption");
  return query;
}

/** `opsMax` shrinks with each level, as in etcd: a nested list takes what its parent left. So depth is limited too. */
function translate(bytes: Buffer, opsMax: number): Txn {
  const longest = longestTxnList(bytes);
  if (longest > opsMax) throw RpcError.of("tooManyOps");
  const { compare, success, failure } = decodeTxn(bytes);
  const toOps = (ops: readonly RequestOp[]) => ops.map((op) => toOp(op, opsMax - longest));
  return { success: toOps(success), failure: toOps(failure), compare: compare.map(toCompare) };
}

function toOp(op: RequestOp, opsMax: number): Op {
  if (op === undefined) throw RpcError.of("keyNotFound");
  switch (op.kind) {
    case "range":
      return { kind: "range", query: toQuery(op.range) };
    case "txn":
      return { kind: "txn", txn: translate(op.encoded, opsMax) };
    default:
      return op;
  }
}

function toCompare(request: CompareRequest): Compare {
  const { key, rangeEnd } = request;
  const result = compareResults[request.result];
  if (result === undefined) throw unknownCompare("result", request.result);
  return { key, rangeEnd, result, target: toTarget(request) };
}

function toTarget(request: CompareRequest): Compare["target"] {
  const field = compareTargets[request.target];
  switch (field) {
    case "value":
      return { field, value: request.value };
    case "lease":
      return { field, value: request.lease };
    case undefined:
      throw unknownCompare("target", request.target);
    default:
      return { field, value: request.number };
  }
}

/** etcd takes a comparison it does not know for fulfilled; refusing is the safer answer to a newer client. */
function unknownCompare(what: string, value: number): RpcError {
  return new RpcError(Code.invalidArgument, `etcdserver: unknown compare ${what} ${value}`);
}
