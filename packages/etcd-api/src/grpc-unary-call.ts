import type { ServerStream, StreamListener } from "@k3s/http2";
import type { Backlog } from "./backlog.ts";
import type { CallDeadlines, TimedCall } from "./call-deadlines.ts";
import { messagePrefix, MessageReader } from "./grpc-framing.ts";
import { failureAnswer, RESPONSE_HEAD, TRAILERS_OK } from "./grpc-status.ts";
import type { UnaryHandler, UnaryScope } from "./method.ts";
import { Code, RpcError } from "./rpc-error.ts";
import { RECEIVE_BYTES_MAX } from "./transport.ts";

/** What all calls have in common. */
export interface UnaryContext {
  readonly deadlines: CallDeadlines;
  /** A client that does not read its answers is refused more of them. */
  readonly backlog: Backlog;
}

/** Memory that a request may keep alive beside itself: it lies in what came in at once from the connection. */
const SPARE_BYTES = 4096;

/** A call with one message each way. The handler starts when the request is complete. */
export class UnaryCall implements StreamListener, TimedCall, UnaryScope {
  readonly #stream: ServerStream;
  readonly #handle: UnaryHandler;
  readonly #context: UnaryContext;
  #reader: MessageReader | undefined;
  #request: Buffer | undefined;
  #running: Promise<void> | undefined;
  #isOver = false;
  #mustAnswer = false;
  #onTaken: (() => void) | undefined;

  constructor(stream: ServerStream, handle: UnaryHandler, context: UnaryContext) {
    this.#stream = stream;
    this.#handle = handle;
    this.#context = context;
  }

  data(bytes: Buffer): void {
    if (this.#isOver) return;
    this.#reader ??= new MessageReader(RECEIVE_BYTES_MAX);
    try {
      this.#read(this.#reader, bytes);
    } catch (error) {
      this.#fail(error);
    }
  }

  end(): void {
    if (this.#isOver) return;
    if (this.#request === undefined || this.#reader?.hasRest === true) {
      this.#fail(new RpcError(Code.internal, "grpc: request ended before its message"));
      return;
    }
    if (!this.#hasRoom) {
      this.#fail(RpcError.tooManyRequests());
      return;
    }
    this.#running = this.#run(onItsOwn(this.#request));
    this.#request = undefined;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  onTaken(done: () => void): void {
    this.#onTaken = done;
  }

  hasChanged(): void {
    this.#mustAnswer = true;
  }

  drained(): void {
    this.#taken();
  }

  aborted(): void {
    this.#isOver = true;
    this.#taken();
    this.#context.deadlines.delete(this);
  }

  get work(): Promise<unknown> | undefined {
    return this.#running;
  }

  expire(): void {
    this.#fail(new RpcError(Code.deadlineExceeded, "context deadline exceeded"));
  }

  #read(reader: MessageReader, bytes: Buffer): void {
    reader.push(bytes);
    for (let message = reader.next(); message !== undefined; message = reader.next()) {
      if (this.#request !== undefined) throw new RpcError(Code.internal, "grpc: more than one message in a unary call");
      this.#request = message;
    }
    reader.keep();
  }

  async #run(request: Buffer): Promise<void> {
    try {
      const answer = await this.#handle(request, this);
      this.#running = undefined;
      this.#answer(answer);
    } catch (error) {
      this.#running = undefined;
      this.#fail(error);
    }
  }

  #answer(message: Uint8Array): void {
    if (this.#isOver) return;
    if (!this.#mustAnswer && !this.#hasRoom) throw RpcError.tooManyRequests(); // it grew meanwhile
    this.#finish();
    this.#stream.sendHead(RESPONSE_HEAD);
    this.#stream.sendData(messagePrefix(message.length));
    const hasRoom = this.#stream.sendData(message);
    this.#stream.end(TRAILERS_OK);
    if (hasRoom) this.#taken(); // else drained() or aborted() will come
  }

  get #hasRoom(): boolean {
    return this.#context.backlog.hasRoomBehind(this.#stream.backlogBytes);
  }

  #fail(error: unknown): void {
    if (this.#isOver) return;
    this.#finish();
    this.#stream.sendHead(failureAnswer(RpcError.from(error)));
    this.#stream.end();
    this.#taken();
  }

  #taken(): void {
    const done = this.#onTaken;
    this.#onTaken = undefined;
    done?.();
  }

  #finish(): void {
    this.#isOver = true;
    this.#context.deadlines.delete(this);
  }
}

function onItsOwn(request: Buffer): Buffer {
  return request.buffer.byteLength - request.length > SPARE_BYTES ? Buffer.from(request) : request;
}
