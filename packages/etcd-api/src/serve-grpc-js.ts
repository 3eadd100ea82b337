import {
  Server,
  ServerCredentials,
  type handleBidiStreamingCall,
  type handleUnaryCall,
  type ServerDuplexStream,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { abortReason } from "@k3s/async";
import type { MessageStream, Method, MethodTable, StreamHandler, UnaryHandler, UnaryScope } from "./method.ts";
import { RpcError } from "./rpc-error.ts";
import { KEEPALIVE_TIME_MS, KEEPALIVE_TIMEOUT_MS, RECEIVE_BYTES_MAX, type Transport } from "./transport.ts";

const STREAMS_MAX = 4_294_967_295;
const WINDOW_BYTES = 1 << 20;
/** Go clients cancel streams in bursts; Node's default of 1000 and then 33 a second takes them for an attack. */
const STREAM_RESETS_MAX = 1_000_000;

/** Serves the methods with @grpc/grpc-js. */
export function serveGrpcJs(methods: MethodTable): Transport {
  const server = createServer(methods);
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  return { accept: injector.injectConnection.bind(injector), close: (hurry) => shutDown(server, hurry) };
}

function createServer(methods: MethodTable): Server {
  const server = new Server({
    "grpc.max_receive_message_length": RECEIVE_BYTES_MAX,
    "grpc.max_send_message_length": -1,
    "grpc.max_concurrent_streams": STREAMS_MAX,
    "grpc.keepalive_time_ms": KEEPALIVE_TIME_MS,
    "grpc.keepalive_timeout_ms": KEEPALIVE_TIMEOUT_MS,
    "grpc.enable_channelz": 0,
  });
  tuneHttp2(server);
  const entries = [...methods].map(([path, method]) => [path, definitionOf(path, method), adapt(method)] as const);
  const definition: ServiceDefinition = Object.fromEntries(entries.map(([path, entry]) => [path, entry]));
  const handlers: UntypedServiceImplementation = Object.fromEntries(
    entries.map(([path, , handler]) => [path, handler]),
  );
  server.addService(definition, handlers);
  return server;
}

/**
 * The library passes on no option for these, so they are put where it keeps what it gives to node:http2.
 * The test of the settings a client receives guards the name.
 */
function tuneHttp2(server: Server): void {
  const options: unknown = Reflect.get(server, "commonServerOptions");
  if (typeof options !== "object" || options === null) throw new Error("Cannot tune HTTP/2: options not found");
  Object.assign(options, {
    settings: { maxConcurrentStreams: STREAMS_MAX, initialWindowSize: WINDOW_BYTES },
    streamResetBurst: STREAM_RESETS_MAX,
    streamResetRate: STREAM_RESETS_MAX,
  });
}

function definitionOf(path: string, method: Method): ServiceDefinition[string] {
  const isStream = method.kind === "stream";
  const asIs = (bytes: Buffer) => bytes;
  return {
    path,
    requestStream: isStream,
    responseStream: isStream,
    requestDeserialize: asIs,
    requestSerialize: asIs,
    responseSerialize: asIs,
    responseDeserialize: asIs,
  };
}

function adapt(method: Method): UntypedServiceImplementation[string] {
  return method.kind === "unary" ? adaptUnary(method.handle) : adaptStream(method.handle);
}

function adaptUnary(handle: UnaryHandler): handleUnaryCall<Buffer, Uint8Array> {
  return (call, callback) => {
    const scope: UnaryScope = {
      get isOver() {
        return call.cancelled;
      },
      onTaken: (done) => done(),
      hasChanged: () => undefined, // every answer is sent
    };
    handle(call.request, scope).then(
      (answer) => callback(null, answer),
      (error: unknown) => callback(toStatus(error)),
    );
  };
}

function adaptStream(handle: StreamHandler): handleBidiStreamingCall<Buffer, Uint8Array> {
  return (call) => {
    const gone = new AbortController();
    call.once("cancelled", () => gone.abort(new Error("Call cancelled by its client")));
    const messages = new CallMessages(call, gone.signal);
    handle(messages).then(
      () => call.end(),
      async (error: unknown) => {
        await messages.written.catch(() => undefined); // a status that overtakes a message never arrives
        if (!gone.signal.aborted) call.emit("error", toStatus(error)); // how this library ends a stream with a status
      },
    );
  };
}

class CallMessages implements MessageStream {
  readonly requests: AsyncIterable<Buffer>;
  readonly signal: AbortSignal;
  /** Settles with the last message that was to be written. */
  written: Promise<void> = Promise.resolve();
  readonly #call: ServerDuplexStream<Buffer, Uint8Array>;

  constructor(call: ServerDuplexStream<Buffer, Uint8Array>, signal: AbortSignal) {
    this.requests = requestsOf(call, signal);
    this.signal = signal;
    this.#call = call;
  }

  async write(message: Uint8Array): Promise<void> {
    const { signal } = this;
    if (signal.aborted) throw abortReason(signal);
    const written = Promise.withResolvers<void>();
    const onAbort = () => written.reject(abortReason(signal)); // a write to a stream that is gone is never called back
    signal.addEventListener("abort", onAbort, { once: true });
    this.#call.write(message, () => written.resolve());
    this.written = written.promise.finally(() => signal.removeEventListener("abort", onAbort));
    await this.written;
  }
}

async function* requestsOf(call: ServerDuplexStream<Buffer, Uint8Array>, signal: AbortSignal): AsyncGenerator<Buffer> {
  try {
    // Leaving the loop must not destroy the call: its answer is still to be written.
    for await (const message of call.iterator({ destroyOnReturn: false })) yield message as Buffer; // as deserialized
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

function toStatus(error: unknown): { code: number; details: string; name: string; message: string } {
  const { code, message } = RpcError.from(error);
  return { code, details: message, name: "RpcError", message };
}

async function shutDown(server: Server, hurry: AbortSignal): Promise<void> {
  const force = () => server.forceShutdown();
  const closed = new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
  if (hurry.aborted) force();
  hurry.addEventListener("abort", force, { once: true });
  await closed;
  hurry.removeEventListener("abort", force);
}
