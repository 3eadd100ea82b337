import type { Op, OpResult, RangeQuery, Txn, TxnResult } from "@k3s/datastore";
import { LargeAnswers } from "./large-answers.ts";
import { writeHeader } from "./messages/common.ts";
import { decodeRange, encodeRangeResponse } from "./messages/range.ts";
import { txnResponseSize, writeTxnResponse } from "./messages/txn.ts";
import { decodeCompaction, decodeDelete, decodePut, writeDeleteResponse, writePutResponse } from "./messages/write.ts";
import { unary, type Method, type UnaryScope } from "./method.ts";
import { encode } from "./proto/proto-writer.ts";
import { RpcError } from "./rpc-error.ts";
import type { ServiceContext } from "./service-context.ts";
import { toQuery, toTxn } from "./txn-translation.ts";

/** Largest write request, as etcd's default --max-request-bytes. */
const REQUEST_BYTES_MAX = 1_572_864;

/** etcdserverpb.KV. */
export function kvService(context: ServiceContext): [string, Method][] {
  const { store } = context;

  const large = new LargeAnswers(store);

  const range = async (bytes: Buffer, call: UnaryScope) => {
    const query = toQuery(decodeRange(bytes));
    if (query.serializable !== true) await store.fresh(); // before its turn, in which it would keep others waiting
    return large.run([query], call, async () => {
      const result = await store.range({ ...query, serializable: true });
      const answer = await encodeRangeResponse(context.header(result.revision), result, call);
      large.note(query, result.kvs.length, answer.length);
      return answer;
    });
  };
  const put = async (bytes: Buffer, call: UnaryScope) => {
    assertSize(bytes);
    const [txn, result] = await runOne(context, decodePut(bytes), call);
    const prevKv = result.kind === "put" ? result.prevKv : undefined;
    return encode((writer) => writePutResponse(writer, context.header(txn.revision), prevKv));
  };
  const deleteRange = async (bytes: Buffer, call: UnaryScope) => {
    assertSize(bytes);
    const op = decodeDelete(bytes);
    // Without the values before nothing is read of many keys, and the store deletes them one request after the other.
    const read = op.prevKv ? queriesOf([op]) : [];
    const [txn, result] = await large.runWrite(read, call, () => runOne(context, op, call));
    const deleted = result.kind === "delete" ? result : { deleted: 0, prevKvs: [] };
    return encode((writer) => writeDeleteResponse(writer, context.header(txn.revision), deleted));
  };
  const txn = async (bytes: Buffer, call: UnaryScope) => {
    const request = toTxn(bytes);
    const writes = hasWrites(request);
    if (writes) assertSize(bytes);
    else await store.fresh();
    const work = async () => {
      const result = await store.txn(request, { caller: call, isFresh: !writes });
      if (writes) call.hasChanged();
      const header = context.header(result.revision);
      return encode((writer) => writeTxnResponse(writer, header, result), txnResponseSize(result));
    };
    const queries = queriesOf([{ kind: "txn", txn: request }]);
    return writes ? large.runWrite(queries, call, work) : large.run(queries, call, work);
  };
  const compact = async (bytes: Buffer, call: UnaryScope) => {
    const revision = await store.compact(decodeCompaction(bytes));
    call.hasChanged();
    return encode((writer) => writeHeader(writer, context.header(revision)));
  };

  return [
    unary("/etcdserverpb.KV/Range", range),
    unary("/etcdserverpb.KV/Put", put),
    unary("/etcdserverpb.KV/DeleteRange", deleteRange),
    unary("/etcdserverpb.KV/Txn", txn),
    unary("/etcdserverpb.KV/Compact", compact),
  ];
}

async function runOne({ store }: ServiceContext, op: Op, caller: UnaryScope): Promise<[TxnResult, OpResult]> {
  const txn = await store.txn({ compare: [], success: [op], failure: [] }, { caller });
  caller.hasChanged();
  const [result] = txn.results;
  if (result === undefined) throw new Error("Cannot answer request: the store gave no result");
  return [txn, result];
}

/** The ranges that operations read, those of both branches. What is deleted is read as well, for the events. */
function queriesOf(ops: readonly Op[]): readonly RangeQuery[] {
  return ops.flatMap((op): readonly RangeQuery[] => {
    if (op.kind === "txn") return [...queriesOf(op.txn.success), ...queriesOf(op.txn.failure)];
    if (op.kind === "put") return [];
    const query = op.kind === "range" ? op.query : { ...op, limit: 0, revision: 0, keysOnly: false, countOnly: false };
    return query.rangeEnd.length === 0 ? [] : [query];
  });
}

function hasWrites(txn: Txn): boolean {
  return [...txn.success, ...txn.failure].some(
    (op) => op.kind === "put" || op.kind === "delete" || (op.kind === "txn" && hasWrites(op.txn)),
  );
}

function assertSize(request: Buffer): void {
  if (request.length > REQUEST_BYTES_MAX) throw RpcError.of("requestTooLarge");
}
