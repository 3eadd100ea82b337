import { StoreError, type StoreErrorReason } from "@k3s/datastore";
import { ProtoError } from "./proto/proto-reader.ts";

/** gRPC status codes this API answers with, as numbered on the wire. */
export const Code = {
  canceled: 1,
  unknown: 2,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  resourceExhausted: 8,
  failedPrecondition: 9,
  outOfRange: 11,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
} as const;
export type StatusCode = (typeof Code)[keyof typeof Code];

/** What a call is answered with instead of a message. etcd's clients recognise most of these by the text. */
export class RpcError extends Error {
  override readonly name = "RpcError";
  readonly code: StatusCode;

  constructor(code: StatusCode, message: string, options: ErrorOptions = {}) {
    super(message, options);
    this.code = code;
  }

  /** What the store refused, in etcd's words, where etcd has any. */
  static ofStore(error: StoreError): RpcError {
    const answer = RpcError.of(error.reason, error);
    if (error.reason !== "refused") return answer;
    return new RpcError(answer.code, `${answer.message}: ${error.message}`, { cause: error });
  }

  static of(reason: StoreErrorReason, cause?: unknown): RpcError {
    const [code, text] = statuses[reason];
    return new RpcError(code, `etcdserver: ${text}`, cause === undefined ? {} : { cause });
  }

  /** What a transport answers with: a handler rejects with nothing else, so anything else is a bug. */
  static from(error: unknown): RpcError {
    return error instanceof RpcError ? error : new RpcError(Code.unknown, "unexpected failure", { cause: error });
  }

  static malformed(cause: ProtoError): RpcError {
    return new RpcError(Code.internal, `grpc: error unmarshalling request: ${cause.message}`, { cause });
  }

  static unimplemented(method: string): RpcError {
    return new RpcError(Code.unimplemented, `etcdserver: ${method} is not available on this datastore`);
  }

  /** The state of things does not allow it; `text` is etcd's. */
  static failedPrecondition(text: string): RpcError {
    return new RpcError(Code.failedPrecondition, `etcdserver: ${text}`);
  }

  static noSnapshot(): RpcError {
    const text = "etcdserver: a snapshot of this datastore is made with the tools of its database";
    return new RpcError(Code.unimplemented, text);
  }

  static stopped(): RpcError {
    return new RpcError(Code.unavailable, "etcdserver: server stopped");
  }

  /** The client asks for more than it reads. */
  static tooManyRequests(): RpcError {
    return new RpcError(Code.resourceExhausted, "etcdserver: too many requests");
  }

  /** For work that was dropped: its client hears nothing of it. */
  static abandoned(): RpcError {
    return new RpcError(Code.canceled, "context canceled");
  }

  static slowWatcher(): RpcError {
    return new RpcError(Code.unavailable, "etcdserver: watch stream closed: its reader is too slow");
  }
}

/** Texts of etcd's rpctypes (api/v3rpc/rpctypes/error.go). */
const statuses: Readonly<Record<StoreErrorReason, readonly [StatusCode, string]>> = {
  compacted: [Code.outOfRange, "mvcc: required revision has been compacted"],
  futureRevision: [Code.outOfRange, "mvcc: required revision is a future revision"],
  leaseTtlTooLarge: [Code.outOfRange, "too large lease TTL"],
  noSpace: [Code.resourceExhausted, "mvcc: database space exceeded"],
  emptyKey: [Code.invalidArgument, "key is not provided"],
  keyRefused: [Code.invalidArgument, "the database cannot hold a key of this length"],
  keyNotFound: [Code.invalidArgument, "key not found"],
  valueProvided: [Code.invalidArgument, "value is provided"],
  leaseProvided: [Code.invalidArgument, "lease is provided"],
  tooManyOps: [Code.invalidArgument, "too many operations in txn request"],
  duplicateKey: [Code.invalidArgument, "duplicate key given in txn request"],
  invalidSortOption: [Code.invalidArgument, "invalid sort option"],
  requestTooLarge: [Code.invalidArgument, "request is too large"],
  leaseNotFound: [Code.notFound, "requested lease not found"],
  refused: [Code.failedPrecondition, "the database cannot hold this change"],
  leaseExists: [Code.failedPrecondition, "lease already exists"],
  unavailable: [Code.unavailable, "request timed out"],
};

/** Any failure of a handler as a status; undefined for what is a bug. */
export function toRpcError(error: unknown): RpcError | undefined {
  if (error instanceof RpcError) return error;
  if (error instanceof StoreError) return RpcError.ofStore(error);
  return error instanceof ProtoError ? RpcError.malformed(error) : undefined;
}
