import type { RangeQuery, RangeResult, SortTarget } from "@k3s/datastore";
import { nextTurn } from "@k3s/async";
import { decodeInto, type Fields } from "../proto/proto-reader.ts";
import { encode, ProtoWriter } from "../proto/proto-writer.ts";
import type { UnaryScope } from "../method.ts";
import { RpcError } from "../rpc-error.ts";
import { EMPTY, keyValueSize, writeHeader, writeKeyValue, type Header } from "./common.ts";

/** etcdserverpb.RangeRequest. Enumerations are the numbers of the wire. */
interface RangeRequest {
  key: Buffer;
  rangeEnd: Buffer;
  limit: number;
  revision: number;
  sortOrder: number;
  sortTarget: number;
  serializable: boolean;
  keysOnly: boolean;
  countOnly: boolean;
  minModRevision: number;
  maxModRevision: number;
  minCreateRevision: number;
  maxCreateRevision: number;
}

const rangeFields: Fields<RangeRequest> = {
  1: (m, r) => (m.key = r.bytes()),
  2: (m, r) => (m.rangeEnd = r.bytes()),
  3: (m, r) => (m.limit = r.int64()),
  4: (m, r) => (m.revision = r.int64()),
  5: (m, r) => (m.sortOrder = r.int64()),
  6: (m, r) => (m.sortTarget = r.int64()),
  7: (m, r) => (m.serializable = r.bool()),
  8: (m, r) => (m.keysOnly = r.bool()),
  9: (m, r) => (m.countOnly = r.bool()),
  10: (m, r) => (m.minModRevision = r.int64()),
  11: (m, r) => (m.maxModRevision = r.int64()),
  12: (m, r) => (m.minCreateRevision = r.int64()),
  13: (m, r) => (m.maxCreateRevision = r.int64()),
};

const SORT_NONE = 0;
const SORT_DESCENDING = 2;
const sortTargets: readonly SortTarget[] = ["key", "version", "create", "mod", "value"];
/** Kvs encoded between two turns of the event loop. */
const SLICE_BYTES = 1 << 20;

export function decodeRange(bytes: Buffer): RangeRequest {
  const empty: RangeRequest = {
    key: EMPTY,
    rangeEnd: EMPTY,
    limit: 0,
    revision: 0,
    sortOrder: 0,
    sortTarget: 0,
    serializable: false,
    keysOnly: false,
    countOnly: false,
    minModRevision: 0,
    maxModRevision: 0,
    minCreateRevision: 0,
    maxCreateRevision: 0,
  };
  return decodeInto(empty, bytes, rangeFields);
}

export type { RangeRequest };

/** The same request as the store takes it; undefined when order or target of the sort do not exist. */
export function toRangeQuery(request: RangeRequest): RangeQuery | undefined {
  const { sortOrder, sortTarget, limit, revision, ...rest } = request;
  const target = sortTargets[sortTarget];
  if (target === undefined || sortOrder < 0 || sortOrder > SORT_DESCENDING) return undefined;
  const query = { ...rest, limit: Math.max(0, limit), revision: Math.max(0, revision) };
  if (sortOrder !== SORT_DESCENDING && target === "key") return query; // keys come in order anyway
  // Order NONE with another target than the key means ascending in etcd, but applied after the limit.
  const firstKeysOnly = sortOrder === SORT_NONE;
  return { ...query, sort: { target, descending: sortOrder === SORT_DESCENDING, firstKeysOnly } };
}

export function writeRangeResponse(writer: ProtoWriter, header: Header, result: RangeResult): void {
  writeRangeTail(writer, result);
  for (let i = result.kvs.length - 1; i >= 0; i--) {
    const kv = result.kvs[i];
    if (kv !== undefined) writeKeyValue(writer, 2, kv);
  }
  writeHeader(writer, header);
}

/** Encodes an answer of any size without holding the event loop for more than a slice of it. Rejects when the call is over before. */
export async function encodeRangeResponse(
  header: Header,
  result: RangeResult,
  call: Pick<UnaryScope, "isOver">,
): Promise<Buffer> {
  const size = rangeResponseSize(result);
  if (size <= SLICE_BYTES) return encode((writer) => writeRangeResponse(writer, header, result), size);
  const writer = new ProtoWriter(size);
  writeRangeTail(writer, result);
  let slice = 0;
  for (let i = result.kvs.length - 1; i >= 0; i--) {
    const kv = result.kvs[i];
    if (kv === undefined) continue;
    writeKeyValue(writer, 2, kv);
    slice += keyValueSize(kv);
    if (slice < SLICE_BYTES) continue;
    slice = 0;
    await nextTurn();
    if (call.isOver) throw RpcError.abandoned();
  }
  writeHeader(writer, header);
  return writer.finish();
}

/** Upper bound of the encoded size in bytes. */
export function rangeResponseSize(result: RangeResult): number {
  return result.kvs.reduce((sum, kv) => sum + keyValueSize(kv), 128);
}

function writeRangeTail(writer: ProtoWriter, result: RangeResult): void {
  writer.int64(4, result.count);
  writer.bool(3, result.more);
}
