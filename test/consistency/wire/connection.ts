import { Client, credentials, Metadata, status, type ClientDuplexStream, type ServiceError } from "@grpc/grpc-js";
import { refusals, type Outcome, type Refusal, type Request, type Response } from "../history/operation.ts";
import type { WatchMessage } from "../history/watch-session.ts";
import * as requests from "./requests.ts";
import * as responses from "./responses.ts";

/** A call that takes longer has an unknown outcome. Longer than a server takes to give a commit up: before that a write may still wait. */
const CALL_LIMIT_MS = 25_000;
const RECONNECT_MAX_MS = 100;

interface Call {
  readonly path: string;
  readonly message: Buffer;
  readonly decode: (answer: Buffer) => Response;
}

/** One client of an etcd endpoint with a TCP or socket connection of its own. */
export class Connection {
  readonly #client: Client;

  /** `target` as gRPC names it: `127.0.0.1:2379` or `unix:/path`. */
  constructor(target: string) {
    this.#client = new Client(target, credentials.createInsecure(), {
      "grpc.use_local_subchannel_pool": 1,
      "grpc.max_receive_message_length": -1,
      "grpc.initial_reconnect_backoff_ms": RECONNECT_MAX_MS / 2,
      "grpc.min_reconnect_backoff_ms": RECONNECT_MAX_MS / 2,
      "grpc.max_reconnect_backoff_ms": RECONNECT_MAX_MS,
    });
  }

  /** Resolves when the server can be reached. Rejects when it could not within `limitMs`. */
  async ready(limitMs: number): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<undefined>();
    this.#client.waitForReady(Date.now() + limitMs, (error) =>
      error === undefined ? resolve(undefined) : reject(error),
    );
    await promise;
  }

  /** Carries out one request. Never rejects: what went wrong is part of the outcome. */
  async perform(request: Request): Promise<Outcome> {
    const { path, message, decode } = toCall(request);
    try {
      const answer = path === KEEP_ALIVE ? await this.#exchange(path, message) : await this.#unary(path, message);
      return { kind: "ok", response: decode(answer) };
    } catch (error) {
      return toFailure(error);
    }
  }

  /** Version of the server as Maintenance.Status reports it. */
  async serverVersion(): Promise<string> {
    return responses.decodeServerVersion(await this.#unary("/etcdserverpb.Maintenance/Status", Buffer.alloc(0)));
  }

  openWatchStream(listener: WatchStreamListener): WatchStream {
    const call = this.#client.makeBidiStreamRequest("/etcdserverpb.Watch/Watch", asIs, asIs, new Metadata());
    return new WatchStream(call, listener);
  }

  close(): void {
    this.#client.close();
  }

  async #unary(path: string, message: Buffer): Promise<Buffer> {
    const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
    const options = { deadline: Date.now() + CALL_LIMIT_MS };
    this.#client.makeUnaryRequest(path, asIs, asIs, message, options, (error, answer) => {
      if (error !== null) reject(error);
      else if (answer === undefined) reject(new Error("Cannot use answer: it is missing"));
      else resolve(answer);
    });
    return promise;
  }

  /** One message out and one back on a stream of its own. */
  async #exchange(path: string, message: Buffer): Promise<Buffer> {
    const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
    const call = this.#client.makeBidiStreamRequest(path, asIs, asIs, { deadline: Date.now() + CALL_LIMIT_MS });
    call.once("data", resolve);
    call.on("error", reject);
    call.once("end", () => reject(new Error("Cannot use answer: the stream ended without one")));
    call.write(message);
    try {
      return await promise;
    } finally {
      call.cancel();
    }
  }
}

export interface WatchStreamListener {
  readonly onMessage: (message: WatchMessage) => void;
  /** The stream is over; called once, also after {@link WatchStream.cut}. */
  readonly onEnd: () => void;
}

/** A watch stream; several watches may share it. */
export class WatchStream {
  readonly #call: ClientDuplexStream<Buffer, Buffer>;

  constructor(call: ClientDuplexStream<Buffer, Buffer>, { onMessage, onEnd }: WatchStreamListener) {
    this.#call = call;
    let isOver = false;
    const end = () => {
      if (!isOver) onEnd();
      isOver = true;
    };
    call.on("data", (message: Buffer) => {
      if (!isOver) onMessage(responses.decodeWatch(message));
    });
    call.on("error", end);
    call.on("end", end);
  }

  send(message: Buffer): void {
    this.#call.write(message);
  }

  /** Ends the stream without a word to the server. */
  cut(): void {
    this.#call.cancel();
  }
}

const KEEP_ALIVE = "/etcdserverpb.Lease/LeaseKeepAlive";
const asIs = (bytes: Buffer) => bytes;

function toCall(request: Request): Call {
  switch (request.kind) {
    case "range":
      return kv("Range", requests.encodeRange(request), responses.decodeRange);
    case "put":
      return kv("Put", requests.encodePut(request), responses.decodePut);
    case "delete":
      return kv("DeleteRange", requests.encodeDelete(request), responses.decodeDelete);
    case "txn":
      return kv("Txn", requests.encodeTxn(request), responses.decodeTxn);
    case "compact":
      return kv("Compact", requests.encodeCompaction(request.revision), responses.decodeHeaderOnly(request.kind));
    case "leaseGrant":
      return lease("LeaseGrant", requests.encodeLeaseGrant(request), responses.decodeLease(request.kind));
    case "leaseRevoke":
      return lease("LeaseRevoke", requests.encodeLeaseId(request.id), responses.decodeHeaderOnly(request.kind));
    case "leaseKeepAlive":
    case "leaseTimeToLive": {
      const name = request.kind === "leaseKeepAlive" ? "LeaseKeepAlive" : "LeaseTimeToLive";
      return lease(name, requests.encodeLeaseId(request.id), responses.decodeLease(request.kind));
    }
  }
}

function kv(method: string, message: Buffer, decode: Call["decode"]): Call {
  return { path: `/etcdserverpb.KV/${method}`, message, decode };
}

function lease(method: string, message: Buffer, decode: Call["decode"]): Call {
  return { path: `/etcdserverpb.Lease/${method}`, message, decode };
}

/** Codes that say that the request was understood and not carried out. */
const REFUSED = new Set([
  status.INVALID_ARGUMENT,
  status.NOT_FOUND,
  status.RESOURCE_EXHAUSTED,
  status.FAILED_PRECONDITION,
  status.OUT_OF_RANGE,
  status.UNIMPLEMENTED,
]);

function toFailure(error: unknown): Outcome {
  if (!isServiceError(error)) return { kind: "unknown", text: String(error) };
  const text = error.details;
  if (!REFUSED.has(error.code)) return { kind: "unknown", text: `${status[error.code]}: ${text}` };
  const known = (Object.keys(refusals) as Refusal[]).find((reason) => text.includes(refusals[reason]));
  return { kind: "refused", reason: known ?? "other", text };
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && "code" in error && typeof error.code === "number" && "details" in error;
}
