import type { Compare, DeleteOp, Op, PutOp, RangeQuery, Txn } from "@k3s/datastore";
import { toRangeQuery, type RangeRequest } from "./messages/range.ts";
import {
  compareResults,
  compareTargets,
  type CompareRequest,
  type RequestOp,
  type TxnRequest,
} from "./messages/txn.ts";
import { RpcError } from "./rpc-error.ts";

/** Most operations in any list of a transaction, as etcd's default --max-txn-ops. */
const TXN_OPS_MAX = 128;

/** Refuses what etcd refuses before it looks at data; duplicate keys are found by the store. Throws RpcError. */
export function toTxn(request: TxnRequest): Txn {
  return translate(request, TXN_OPS_MAX);
}

export function toQuery(request: RangeRequest): RangeQuery {
  if (request.key.length === 0) throw RpcError.of("emptyKey");
  const query = toRangeQuery(request);
  if (query === undefined) throw RpcError.of("invalidSortOption");
  return query;
}

export function toPutOp(put: PutOp): PutOp {
  if (put.key.length === 0) throw RpcError.of("emptyKey");
  if (put.ignoreValue && put.value.length > 0) throw RpcError.of("valueProvided");
  if (put.ignoreLease && put.lease !== 0n) throw RpcError.of("leaseProvided");
  return put;
}

export function toDeleteOp(request: DeleteOp): DeleteOp {
  if (request.key.length === 0) throw RpcError.of("emptyKey");
  return request;
}

/** `opsMax` shrinks with each level, as in etcd: a nested list takes what its parent left. */
function translate({ compare, success, failure }: TxnRequest, opsMax: number): Txn {
  const longest = Math.max(compare.length, success.length, failure.length);
  if (longest > opsMax) throw RpcError.of("tooManyOps");
  if (compare.some(({ key }) => key.length === 0)) throw RpcError.of("emptyKey");
  const toOps = (ops: readonly RequestOp[]) => ops.map((op) => toOp(op, opsMax - longest));
  return { success: toOps(success), failure: toOps(failure), compare: compare.map(toCompare) };
}

function toOp(op: RequestOp, opsMax: number): Op {
  switch (op?.kind) {
    case "range":
      return { kind: "range", query: toQuery(op.range) };
    case "put":
      return toPutOp(op);
    case "delete":
      return toDeleteOp(op);
    case "txn":
      return { kind: "txn", txn: translate(op.txn, opsMax) };
    case undefined:
      throw RpcError.of("keyNotFound");
  }
}

function toCompare(request: CompareRequest): Compare {
  const { key, rangeEnd } = request;
  const result = compareResults[request.result];
  // etcd treats a comparison it does not know as fulfilled; refusing is the safer answer to a newer client.
  if (result === undefined) throw RpcError.of("keyNotFound");
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
      throw RpcError.of("keyNotFound");
    default:
      return { field, value: request.number };
  }
}
