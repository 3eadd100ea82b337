import { soonAfter } from "@k3s/async";
import { StoreError } from "@k3s/datastore";
import { writeHeader } from "./messages/common.ts";
import {
  decodeLeaseGrant,
  decodeLeaseId,
  decodeLeaseTimeToLive,
  writeLease,
  writeLeases,
  writeLeaseTimeToLive,
} from "./messages/lease.ts";
import { stream, unary, type MessageStream, type Method, type UnaryScope } from "./method.ts";
import { encode } from "./proto/proto-writer.ts";
import { RpcError } from "./rpc-error.ts";
import type { ServiceContext } from "./service-context.ts";

/** etcdserverpb.Lease. */
export function leaseService(context: ServiceContext): [string, Method][] {
  const { store } = context;
  const header = () => context.header(store.currentRevision);

  const grant = async (bytes: Buffer, call: UnaryScope) => {
    const { id, grantedTtlSeconds } = await store.leaseGrant(decodeLeaseGrant(bytes));
    call.hasChanged();
    return encode((writer) => writeLease(writer, header(), { id, ttlSeconds: grantedTtlSeconds }));
  };
  const revoke = async (bytes: Buffer, call: UnaryScope) => {
    const revision = await store.leaseRevoke(decodeLeaseId(bytes));
    call.hasChanged();
    return encode((writer) => writeHeader(writer, context.header(revision)));
  };
  const timeToLive = async (bytes: Buffer) => {
    const { id, keys } = decodeLeaseTimeToLive(bytes);
    const unknown = { id, grantedTtlSeconds: 0, remainingTtlSeconds: -1, keys: [] };
    const lease = (await unlessNotFound(store.leaseTimeToLive(id))) ?? unknown;
    return encode((writer) => writeLeaseTimeToLive(writer, header(), keys ? lease : { ...lease, keys: [] }));
  };
  const leases = async () => {
    const ids = await store.leaseList();
    return encode((writer) => writeLeases(writer, header(), ids));
  };
  const renew = async (call: MessageStream) => {
    for await (const bytes of call.requests) {
      const id = decodeLeaseId(bytes);
      const before = header(); // never newer than the renewal, as etcd promises
      const ttlSeconds = (await unlessNotFound(store.leaseKeepAlive(id)))?.grantedTtlSeconds ?? 0;
      await call.write(encode((writer) => writeLease(writer, before, { id, ttlSeconds })));
    }
  };
  // A client that keeps a lease alive never ends its stream: a server that stops does, and another one renews.
  const keepAlive = (call: MessageStream) =>
    soonAfter(renew(call), { signal: context.signal, ms: 0, late: () => RpcError.stopped() });

  return [
    unary("/etcdserverpb.Lease/LeaseGrant", grant),
    unary("/etcdserverpb.Lease/LeaseRevoke", revoke),
    unary("/etcdserverpb.Lease/LeaseTimeToLive", timeToLive),
    unary("/etcdserverpb.Lease/LeaseLeases", leases),
    stream("/etcdserverpb.Lease/LeaseKeepAlive", keepAlive),
  ];
}

/** These two calls tell of an unknown lease in their answer instead of failing. */
async function unlessNotFound<T>(lease: Promise<T>): Promise<T | undefined> {
  try {
    return await lease;
  } catch (error) {
    if (error instanceof StoreError && error.reason === "leaseNotFound") return undefined;
    throw error;
  }
}
