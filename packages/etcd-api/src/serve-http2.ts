import { repeat } from "@k3s/async";
import {
  findHeader,
  Http2Server,
  type Limits,
  type RequestHead,
  type ServerStream,
  type StreamListener,
} from "@k3s/http2";
import type { Backlog } from "./backlog.ts";
import { CallDeadlines, type TimedCall } from "./call-deadlines.ts";
import { StreamCall } from "./grpc-stream-call.ts";
import { encodingRefusal, failureAnswer } from "./grpc-status.ts";
import { parseGrpcTimeout } from "./grpc-timeout.ts";
import { UnaryCall, type UnaryContext } from "./grpc-unary-call.ts";
import type { HttpRoutes } from "./http-routes.ts";
import { answerRoute, passOver, type RouteContext } from "./http2-route-call.ts";
import type { Method, MethodTable } from "./method.ts";
import { Code, RpcError } from "./rpc-error.ts";
import { KEEPALIVE_TIME_MS, KEEPALIVE_TIMEOUT_MS, RECEIVE_BYTES_MAX, type Transport } from "./transport.ts";

export interface ServeHttp2Options {
  readonly methods: MethodTable;
  /** For requests that are not gRPC. */
  readonly routes: HttpRoutes;
  readonly limits?: Partial<Limits>;
  readonly backlog: Backlog;
}

const GRPC = "application/grpc";
const DEADLINE_SWEEP_MS = 1000;
/** As etcd's server: a ping each 5 s while there are streams, none without. */
const PINGS = { intervalMinMs: 5_000, idleIntervalMinMs: 7_200_000, strikesMax: 2 };

const LIMITS: Partial<Limits> = {
  pings: PINGS,
  keepaliveMs: KEEPALIVE_TIME_MS,
  keepaliveTimeoutMs: KEEPALIVE_TIMEOUT_MS,
  // The largest message fits in behind whatever is not credited yet, so nothing has to be before it is complete, and what waits is counted.
  streamWindowBytes: RECEIVE_BYTES_MAX + 65_536,
  connectionWindowBytes: 8 << 20,
};

/** Serves the methods with our own HTTP/2 layer. */
export function serveHttp2(options: ServeHttp2Options): Transport {
  const calls = new GrpcCalls(options);
  const server = new Http2Server({
    limits: { ...LIMITS, ...options.limits },
    onRequest: (stream, head) => calls.begin(stream, head),
  });
  options.backlog.include(() => server.queuedBytes);
  const closed = new AbortController();
  void repeat(DEADLINE_SWEEP_MS, () => calls.deadlines.sweep(performance.now()), closed.signal);
  const close = async (hurry: AbortSignal) => {
    await server.close(hurry);
    closed.abort();
  };
  return { accept: (socket) => server.accept(socket), close };
}

/** Makes a call of each request. */
class GrpcCalls {
  readonly deadlines = new CallDeadlines();
  readonly #methods: MethodTable;
  readonly #routes: RouteContext;
  readonly #unary: UnaryContext;

  constructor({ methods, routes, backlog }: ServeHttp2Options) {
    this.#methods = methods;
    this.#routes = { routes, backlog };
    this.#unary = { deadlines: this.deadlines, backlog };
  }

  begin(stream: ServerStream, head: RequestHead): StreamListener {
    if (!isGrpc(head)) return answerRoute(stream, head, this.#routes);
    const encoding = findHeader(head.fields, "grpc-encoding") ?? "identity";
    if (encoding !== "identity") return refuseEncoding(stream, encoding);
    const method = this.#methods.get(head.path);
    if (method === undefined) return refuse(stream, this.#unknown(head.path));
    const timeout = findHeader(head.fields, "grpc-timeout");
    const timeoutMs = timeout === undefined ? Infinity : parseGrpcTimeout(timeout);
    if (timeoutMs === undefined) return refuse(stream, new RpcError(Code.internal, "grpc: malformed grpc-timeout"));
    const call = this.#call(stream, method);
    if (timeoutMs !== Infinity) this.deadlines.add(call, performance.now(), timeoutMs);
    return call;
  }

  #call(stream: ServerStream, method: Method): StreamListener & TimedCall {
    return method.kind === "unary"
      ? new UnaryCall(stream, method.handle, this.#unary)
      : new StreamCall(stream, this.deadlines).start(method.handle);
  }

  /** In the words of Go's server, which etcd's clients know. */
  #unknown(path: string): RpcError {
    const [, service, name] = /^\/(.+)\/([^/]*)$/.exec(path) ?? [];
    if (service === undefined || name === undefined)
      return new RpcError(Code.unimplemented, `malformed method name: ${JSON.stringify(path)}`);
    const isKnown = [...this.#methods.keys()].some((known) => known.startsWith(`/${service}/`));
    return new RpcError(
      Code.unimplemented,
      isKnown ? `unknown method ${name} for service ${service}` : `unknown service ${service}`,
    );
  }
}

function isGrpc({ fields }: RequestHead): boolean {
  const type = findHeader(fields, "content-type");
  return (
    type !== undefined &&
    type.startsWith(GRPC) &&
    (type.length === GRPC.length || "+;".includes(type.charAt(GRPC.length)))
  );
}

function refuse(stream: ServerStream, error: RpcError): StreamListener {
  stream.sendHead(failureAnswer(error));
  stream.end();
  return passOver(stream);
}

function refuseEncoding(stream: ServerStream, encoding: string): StreamListener {
  const text = `grpc: Decompressor is not installed for grpc-encoding ${JSON.stringify(encoding)}`;
  stream.sendHead(encodingRefusal(new RpcError(Code.unimplemented, text)));
  stream.end();
  return passOver(stream);
}
