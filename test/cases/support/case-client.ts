import type { TestContext } from "node:test";
import type { ChannelCredentials } from "@grpc/grpc-js";
import {
  deleteRequest,
  int64Message,
  putRequest,
  RawClient,
  rangeRequest,
  readAnswer,
  readLease,
  txnRequest,
  type Answer,
  type Header,
  type Lease,
  type PutArgs,
  type RangeArgs,
  type TxnArgs,
} from "@k3s/testkit";
import { WatchPeer } from "./watch-peer.ts";

const NOTHING: Buffer = Buffer.alloc(0);

/** An answer of KV with its header. */
export type Answered = Answer & { readonly header: Header };

/** One client with a connection of its own, until the test ends. Its calls reject with grpc-js' ServiceError. */
export class CaseClient {
  readonly raw: RawClient;
  readonly #t: TestContext;

  constructor(t: TestContext, target: string, channel?: ChannelCredentials) {
    this.#t = t;
    this.raw = new RawClient(t, target, channel);
  }

  async range(args: RangeArgs): Promise<Answered> {
    return answered(readAnswer.range(await this.#kv("Range", rangeRequest(args))));
  }

  async put(args: PutArgs): Promise<Answered> {
    return answered(readAnswer.put(await this.#kv("Put", putRequest(args))));
  }

  async delete(args: Parameters<typeof deleteRequest>[0]): Promise<Answered> {
    return answered(readAnswer.delete(await this.#kv("DeleteRange", deleteRequest(args))));
  }

  async txn(args: TxnArgs): Promise<Answered> {
    return answered(readAnswer.txn(await this.#kv("Txn", txnRequest(args))));
  }

  async compact(revision: number, physical = false): Promise<Answered> {
    const request = int64Message({ 1: revision, 2: physical ? 1 : 0 });
    return answered(readAnswer.header(await this.#kv("Compact", request)));
  }

  /** Revision of the newest change. */
  async revision(): Promise<number> {
    return (await this.range({ key: "/case/none" })).header.revision;
  }

  async grant(ttl: number, id: number | bigint = 0): Promise<Lease> {
    return readLease(await this.#lease("LeaseGrant", int64Message({ 1: ttl, 2: id })));
  }

  async revoke(id: bigint): Promise<Answered> {
    return answered(readAnswer.header(await this.#lease("LeaseRevoke", int64Message({ 1: id }))));
  }

  async timeToLive(id: bigint, keys = false): Promise<Lease> {
    return readLease(await this.#lease("LeaseTimeToLive", int64Message({ 1: id, 2: keys ? 1 : 0 })));
  }

  /** One renewal on a stream of its own. */
  async keepAlive(id: bigint): Promise<Lease> {
    const stream = this.raw.stream(this.#t, "/etcdserverpb.Lease/LeaseKeepAlive");
    stream.send(int64Message({ 1: id }));
    const lease = readLease(await stream.take());
    stream.end();
    return lease;
  }

  /** A watch stream; several watches may share it. */
  watch(): WatchPeer {
    return new WatchPeer(this.raw.stream(this.#t, "/etcdserverpb.Watch/Watch"));
  }

  maintenance(method: string, request = NOTHING): Promise<Buffer> {
    return this.raw.call(`/etcdserverpb.Maintenance/${method}`, request);
  }

  #kv(method: string, request: Buffer): Promise<Buffer> {
    return this.raw.call(`/etcdserverpb.KV/${method}`, request);
  }

  #lease(method: string, request: Buffer): Promise<Buffer> {
    return this.raw.call(`/etcdserverpb.Lease/${method}`, request);
  }
}

function answered(answer: Answer): Answered {
  if (answer.header === undefined) throw new Error("Cannot use answer: it has no header");
  return { ...answer, header: answer.header };
}
