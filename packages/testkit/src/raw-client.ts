import type { TestContext } from "node:test";
import {
  Client,
  credentials,
  type ChannelCredentials,
  type ClientDuplexStream,
  type ServiceError,
} from "@grpc/grpc-js";

const asIs = (bytes: Buffer) => bytes;
/** Nothing in these tests takes longer unless it hangs. */
const PATIENCE_MS = 20_000;

/** A gRPC client that sends and receives bare bytes. */
export class RawClient {
  readonly #client: Client;

  constructor(t: TestContext, target: string, channel: ChannelCredentials = credentials.createInsecure()) {
    this.#client = new Client(target, channel, {
      "grpc.max_receive_message_length": -1,
      "grpc.max_send_message_length": -1,
      "grpc.use_local_subchannel_pool": 1,
    });
    t.after(() => this.#client.close());
  }

  /** Rejects with grpc-js' ServiceError. */
  call(path: string, request: Buffer, patienceMs = PATIENCE_MS): Promise<Buffer> {
    const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
    const options = { deadline: Date.now() + patienceMs };
    const done = (error: ServiceError | null, answer?: Buffer) =>
      answer === undefined || error !== null ? reject(error ?? new Error("No answer")) : resolve(answer);
    this.#client.makeUnaryRequest(path, asIs, asIs, request, options, done);
    return promise;
  }

  stream(t: TestContext, path: string): RawStream {
    const call = this.#client.makeBidiStreamRequest(path, asIs, asIs);
    t.after(() => call.cancel());
    return new RawStream(call);
  }
}

/** What came in on one stream, and a way to wait for more of it. */
export class RawStream {
  readonly #call: ClientDuplexStream<Buffer, Buffer>;
  readonly #received: Buffer[] = [];
  #next = Promise.withResolvers<void>();
  #error: ServiceError | undefined;

  constructor(call: ClientDuplexStream<Buffer, Buffer>) {
    this.#call = call;
    call.on("data", (message: Buffer) => {
      this.#received.push(message);
      this.#next.resolve();
    });
    call.on("error", (error: ServiceError) => {
      this.#error = error;
      this.#next.resolve();
    });
  }

  send(message: Buffer): void {
    this.#call.write(message);
  }

  /** No more requests from us. */
  end(): void {
    this.#call.end();
  }

  cancel(): void {
    this.#call.cancel();
  }

  /** Takes nothing more from the connection until resume(). */
  pause(): void {
    this.#call.pause();
  }

  resume(): void {
    this.#call.resume();
  }

  /** The next message. Rejects with the status the stream ended with. */
  async take(): Promise<Buffer> {
    for (;;) {
      const message = this.#received.shift();
      if (message !== undefined) return message;
      if (this.#error !== undefined) throw this.#error;
      this.#next = Promise.withResolvers();
      await this.#next.promise;
    }
  }
}
