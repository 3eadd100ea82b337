/** One call of a streaming method, whatever transport carries it. */
export interface MessageStream {
  /** Ends when the client has sent its last message or is gone. */
  readonly requests: AsyncIterable<Buffer>;
  /** Aborts when nobody is there any more to read an answer. */
  readonly signal: AbortSignal;
  /** Resolves when the transport wants more; rejects when `signal` aborted. One at a time. */
  write(message: Uint8Array): Promise<void>;
}

/** What a unary handler may know of its call, whatever transport carries it. */
export interface UnaryScope {
  /** Nobody waits for the answer any more: the client is gone, or the time it gave is over. */
  readonly isOver: boolean;
  /** Calls back once: when most of the answer has left for the client, or it never will. At once where the transport cannot tell. */
  onTaken(done: () => void): void;
  /**
   * To be called once something is changed: the answer is sent from then on however much the client has not read yet. A refusal would say that
   * nothing was done.
   */
  hasChanged(): void;
}

/** Answers one message with one. Rejects with RpcError only. */
export type UnaryHandler = (request: Buffer, call: UnaryScope) => Promise<Uint8Array>;

/** Resolving ends the call with OK; rejects with RpcError only. */
export type StreamHandler = (stream: MessageStream) => Promise<void>;

export type Method =
  | { readonly kind: "unary"; readonly handle: UnaryHandler }
  | { readonly kind: "stream"; readonly handle: StreamHandler };

/** Handlers by full path, such as `/etcdserverpb.KV/Range`. */
export type MethodTable = ReadonlyMap<string, Method>;

export function unary(path: string, handle: UnaryHandler): [string, Method] {
  return [path, { kind: "unary", handle }];
}

export function stream(path: string, handle: StreamHandler): [string, Method] {
  return [path, { kind: "stream", handle }];
}
