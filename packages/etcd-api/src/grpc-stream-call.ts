import { abortReason } from "@k3s/async";
import type { ServerStream, StreamListener } from "@k3s/http2";
import type { CallDeadlines, TimedCall } from "./call-deadlines.ts";
import { framedSize, MessageReader, messagePrefix } from "./grpc-framing.ts";
import { failureAnswer, failureTrailers, RESPONSE_HEAD, TRAILERS_OK } from "./grpc-status.ts";
import type { MessageStream, StreamHandler } from "./method.ts";
import { Code, RpcError } from "./rpc-error.ts";
import { RECEIVE_BYTES_MAX } from "./transport.ts";

/** A call with any number of messages each way. The handler starts at once. */
export class StreamCall implements StreamListener, MessageStream, TimedCall {
  readonly requests: AsyncIterable<Buffer>;
  readonly #stream: ServerStream;
  readonly #deadlines: CallDeadlines;
  readonly #gone = new AbortController();
  #reader = new MessageReader(RECEIVE_BYTES_MAX);
  #isComplete = false;
  #arrival = Promise.withResolvers<void>();
  #room: PromiseWithResolvers<void> | undefined;
  #hasHead = false;
  #isOver = false;
  #running: Promise<void> | undefined;

  constructor(stream: ServerStream, deadlines: CallDeadlines) {
    this.#stream = stream;
    this.#deadlines = deadlines;
    this.requests = this.#messages();
  }

  /** Once, before anything arrives. */
  start(handle: StreamHandler): this {
    this.#running = this.#run(handle);
    return this;
  }

  get signal(): AbortSignal {
    return this.#gone.signal;
  }

  async write(message: Uint8Array): Promise<void> {
    if (this.signal.aborted) throw abortReason(this.signal);
    if (!this.#hasHead) this.#stream.sendHead(RESPONSE_HEAD);
    this.#hasHead = true;
    const hadRoom = this.#stream.sendData(messagePrefix(message.length));
    if (message.length === 0 ? hadRoom : this.#stream.sendData(message)) return;
    this.#room = Promise.withResolvers();
    await this.#room.promise;
  }

  data(bytes: Buffer): void {
    if (this.#isOver) return;
    this.#reader.push(bytes);
    this.#reader.keep();
    this.#arrival.resolve();
  }

  end(): void {
    this.#isComplete = true;
    this.#arrival.resolve();
  }

  drained(): void {
    this.#room?.resolve();
  }

  aborted(): void {
    this.#leave(new Error("Call cancelled by its client"));
  }

  get work(): Promise<unknown> | undefined {
    return this.#running;
  }

  expire(): void {
    this.#fail(new RpcError(Code.deadlineExceeded, "context deadline exceeded"));
  }

  async #run(handle: StreamHandler): Promise<void> {
    try {
      await handle(this);
      this.#running = undefined;
      this.#succeed();
    } catch (error) {
      this.#running = undefined;
      this.#fail(error);
    }
  }

  async *#messages(): AsyncGenerator<Buffer> {
    while (!this.signal.aborted) {
      const message = this.#reader.next();
      if (message !== undefined) {
        this.#stream.credit(framedSize(message));
        yield message;
        continue;
      }
      if (this.#isComplete && this.#reader.hasRest)
        throw new RpcError(Code.internal, "grpc: request ended in the middle of a message");
      if (this.#isComplete) return;
      this.#arrival = Promise.withResolvers();
      await this.#arrival.promise;
    }
  }

  #succeed(): void {
    if (this.#isOver) return;
    if (!this.#hasHead) this.#stream.sendHead(RESPONSE_HEAD);
    this.#stream.end(TRAILERS_OK);
    this.#leave(new Error("Call is over"));
  }

  #fail(error: unknown): void {
    if (this.#isOver) return;
    const status = RpcError.from(error);
    if (this.#hasHead) {
      this.#stream.end(failureTrailers(status));
    } else {
      this.#stream.sendHead(failureAnswer(status));
      this.#stream.end();
    }
    this.#leave(status);
  }

  /** Nobody reads or writes here any more, for `reason`. */
  #leave(reason: Error): void {
    this.#isOver = true;
    this.#deadlines.delete(this);
    this.#reader = new MessageReader(RECEIVE_BYTES_MAX);
    this.#gone.abort(reason);
    this.#arrival.resolve();
    this.#room?.reject(reason);
  }
}
