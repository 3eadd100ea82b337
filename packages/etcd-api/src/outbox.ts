import { RpcError } from "./rpc-error.ts";

/** Messages that wait for one reader, limited by their bytes. Overflow ends the stream; nothing is ever left out. */
export class Outbox {
  readonly #limitBytes: number;
  #messages: Uint8Array[] = [];
  #taken = 0;
  #bytes = 0;
  #failure: RpcError | undefined;
  #wake = Promise.withResolvers<void>();

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  /** Appends; a reader that is too far behind is cut off instead. A single message of any size is taken. */
  push(message: Uint8Array): void {
    if (this.#failure !== undefined) return;
    if (this.#bytes > 0 && this.#bytes + message.length > this.#limitBytes) {
      this.fail(RpcError.slowWatcher());
      return;
    }
    this.#messages.push(message);
    this.#bytes += message.length;
    this.#wake.resolve();
  }

  /** Drops what waits; the reader gets `error` next. Only the first failure counts. */
  fail(error: RpcError): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    this.#messages = [];
    this.#taken = 0;
    this.#bytes = 0;
    this.#wake.resolve();
  }

  /** The next message, once there is one. Rejects with the failure. */
  async take(): Promise<Uint8Array> {
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure;
      const message = this.#messages[this.#taken];
      if (message !== undefined) return this.#remove(message);
      this.#wake = Promise.withResolvers();
      await this.#wake.promise;
    }
  }

  #remove(message: Uint8Array): Uint8Array {
    this.#taken++;
    this.#bytes -= message.length;
    if (this.#taken === this.#messages.length || this.#taken >= 1024) {
      this.#messages.splice(0, this.#taken);
      this.#taken = 0;
    }
    return message;
  }
}
