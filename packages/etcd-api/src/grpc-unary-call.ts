import type { ServerStream, StreamListener } from "@k3s/http2";
import type { CallDeadlines, TimedCall } from "./call-deadlines.ts";
import { messagePrefix, MessageAssembler } from "./grpc-framing.ts";
import { failureAnswer, RESPONSE_HEAD, TRAILERS_OK } from "./grpc-status.ts";
import type { UnaryHandler, UnaryScope } from "./method.ts";
import { Code, RpcError } from "./rpc-error.ts";
import { RECEIVE_BYTES_MAX } from "./transport.ts";

/** With more than this waiting for a client, its calls are refused until it reads. */
const BACKLOG_BYTES_MAX = 256 << 20;

/** A call with one message each way. The handler starts when the request is complete. */
export class UnaryCall implements StreamListener, TimedCall, UnaryScope {
  readonly #stream: ServerStream;
  readonly #handle: UnaryHandler;
  readonly #deadlines: CallDeadlines;
  #assembler: MessageAssembler | undefined;
  #request: Buffer | undefined;
  #running: Promise<void> | undefined;
  #isOver = false;
  #onTaken: (() => void) | undefined;

  constructor(stream: ServerStream, handle: UnaryHandler, deadlines: CallDeadlines) {
    this.#stream = stream;
    this.#handle = handle;
    this.#deadlines = deadlines;
  }

  data(bytes: Buffer): void {
    if (this.#isOver) return;
    this.#assembler ??= new MessageAssembler(RECEIVE_BYTES_MAX);
    try {
      this.#assembler.push(bytes, (message) => this.#take(message));
    } catch (error) {
      this.#fail(error);
    }
  }

  end(): void {
    if (this.#isOver) return;
    if (this.#request === undefined || this.#assembler?.isPartial === true) {
      this.#fail(new RpcError(Code.internal, "grpc: request ended before its message"));
      return;
    }
    if (this.#stream.backlogBytes > BACKLOG_BYTES_MAX) {
      this.#fail(RpcError.tooManyRequests());
      return;
    }
    this.#running = this.#run(this.#request);
    this.#request = undefined;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  onTaken(done: () => void): void {
    this.#onTaken = done;
  }

  drained(): void {
    this.#taken();
  }

  aborted(): Promise<unknown> | undefined {
    this.#isOver = true;
    this.#taken();
    this.#deadlines.delete(this);
    return this.#running;
  }

  expire(): void {
    this.#fail(new RpcError(Code.deadlineExceeded, "context deadline exceeded"));
  }

  #take(message: Buffer): void {
    if (this.#request !== undefined) throw new RpcError(Code.internal, "grpc: more than one message in a unary call");
    this.#request = message;
  }

  async #run(request: Buffer): Promise<void> {
    try {
      this.#answer(await this.#handle(request, this));
    } catch (error) {
      this.#fail(error);
    }
  }

  #answer(message: Uint8Array): void {
    if (this.#isOver) return;
    if (this.#stream.backlogBytes > BACKLOG_BYTES_MAX) throw RpcError.tooManyRequests(); // it grew meanwhile
    this.#finish();
    this.#stream.sendHead(RESPONSE_HEAD);
    this.#stream.sendData(messagePrefix(message.length));
    const hasRoom = this.#stream.sendData(message);
    this.#stream.end(TRAILERS_OK);
    if (hasRoom) this.#taken(); // else drained() or aborted() will come
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
    this.#deadlines.delete(this);
  }
}
