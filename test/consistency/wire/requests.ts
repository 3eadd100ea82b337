import {
  compareResults,
  sortOrders,
  sortTargets,
  type Compare,
  type DeleteRequest,
  type PutRequest,
  type RangeRequest,
  type TxnOperation,
  type TxnRequest,
} from "../history/operation.ts";
import type { WatchRequest } from "../history/watch-session.ts";
import { MessageWriter } from "./bytes.ts";

// Field numbers of etcd's rpc.proto.

export function encodeRange(request: RangeRequest): Buffer {
  const { sort } = request;
  return new MessageWriter()
    .bytes(1, request.key)
    .bytes(2, request.end)
    .int(3, request.limit ?? 0)
    .int(4, request.revision ?? 0)
    .int(5, sort === undefined ? 0 : sortOrders.indexOf(sort.order))
    .int(6, sort === undefined ? 0 : sortTargets.indexOf(sort.target))
    .flag(8, request.keysOnly)
    .flag(9, request.countOnly)
    .int(10, request.minMod ?? 0)
    .int(11, request.maxMod ?? 0)
    .int(12, request.minCreate ?? 0)
    .int(13, request.maxCreate ?? 0)
    .finish();
}

export function encodePut(request: PutRequest): Buffer {
  return new MessageWriter()
    .bytes(1, request.key)
    .bytes(2, request.value)
    .int(3, request.lease ?? 0)
    .flag(4, request.prevKv)
    .flag(5, request.ignoreValue)
    .flag(6, request.ignoreLease)
    .finish();
}

export function encodeDelete(request: DeleteRequest): Buffer {
  return new MessageWriter().bytes(1, request.key).bytes(2, request.end).flag(3, request.prevKv).finish();
}

export function encodeTxn(request: TxnRequest): Buffer {
  const writer = new MessageWriter();
  for (const compare of request.compare) writer.message(1, encodeCompare(compare));
  for (const operation of request.success) writer.message(2, encodeOperation(operation));
  for (const operation of request.failure) writer.message(3, encodeOperation(operation));
  return writer.finish();
}

function encodeOperation(operation: TxnOperation): Buffer {
  const writer = new MessageWriter();
  switch (operation.kind) {
    case "range":
      return writer.message(1, encodeRange(operation)).finish();
    case "put":
      return writer.message(2, encodePut(operation)).finish();
    case "delete":
      return writer.message(3, encodeDelete(operation)).finish();
    case "txn":
      return writer.message(4, encodeTxn(operation)).finish();
  }
}

/** Numbers of Compare.CompareTarget, and of the member of the oneof that holds the value. */
const compareFields = {
  version: [0, 4],
  create: [1, 5],
  mod: [2, 6],
  value: [3, 7],
  lease: [4, 8],
} as const;

function encodeCompare({ result, target, key, end }: Compare): Buffer {
  const [number, field] = compareFields[target.field];
  const writer = new MessageWriter().int(1, compareResults.indexOf(result)).int(2, number).bytes(3, key);
  if (target.field === "value") writer.message(field, Buffer.from(target.value, "latin1"));
  else writer.presentInt(field, target.value);
  return writer.bytes(64, end).finish();
}

export function encodeCompaction(revision: number): Buffer {
  return new MessageWriter().int(1, revision).finish();
}

export function encodeLeaseGrant(lease: { readonly id: number; readonly ttl: number }): Buffer {
  return new MessageWriter().int(1, lease.ttl).int(2, lease.id).finish();
}

/** LeaseRevokeRequest, LeaseKeepAliveRequest and LeaseTimeToLiveRequest alike. */
export function encodeLeaseId(id: number): Buffer {
  return new MessageWriter().int(1, id).finish();
}

export function encodeWatchCreate(watchId: number, request: WatchRequest): Buffer {
  const create = new MessageWriter()
    .bytes(1, request.key)
    .bytes(2, request.end)
    .int(3, request.startRevision)
    .flag(4, request.progressNotify)
    .flag(6, request.prevKv)
    .int(7, watchId);
  return new MessageWriter().message(1, create.finish()).finish();
}

export function encodeWatchCancel(watchId: number): Buffer {
  return new MessageWriter().message(2, new MessageWriter().int(1, watchId).finish()).finish();
}

export function encodeWatchProgress(): Buffer {
  return new MessageWriter().message(3, Buffer.alloc(0)).finish();
}
