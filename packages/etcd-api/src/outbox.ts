import type { Backlog, BacklogHolder } from "./backlog.ts";
import { RpcError } from "./rpc-error.ts";

/** Whoever can wait adds nothing while more than this part of the limit waits. */
const LOW_PART = 16;
/** What a message costs besides its bytes: Buffer and ArrayBuffer objects. */
const MESSAGE_BYTES = 250;

/**
 * Messages that wait for one reader, limited by their bytes and by the memory for all readers. Overflow ends the stream;
 * nothing is ever left out.
 */
export class Outbox implements BacklogHolder {
  readonly #limitBytes: number;
  readonly #backlog: Backlog;
  #messages: Uint8Array[] = [];
  #taken = 0;
  #bytes = 0;
  /** Of messages to come, which are gathered over several turns. */
  #gathered = 0;
  #failure: RpcError | undefined;
  #wake = Promise.withResolvers<void>();
  readonly #failed = Promise.withResolvers<never>();
  /** Ends when whoever has the turn is done. */
  #turn: Promise<void> = Promise.resolve();
  #low = Promise.withResolvers<void>();

  constructor(limitBytes: number, backlog: Backlog) {
    this.#limitBytes = limitBytes;
    this.#backlog = backlog;
    this.#failed.promise.catch(() => undefined); // whoever takes messages learns of it as well
  }

  /** Rejects with the failure as soon as there is one, also while the reader takes nothing. */
  get failed(): Promise<never> {
    return this.#failed.promise;
  }

  get waitingBytes(): number {
    return this.#bytes + this.#gathered;
  }

  /**
   * Appends what the reader gets as one; a reader that is too far behind is cut off instead. With nothing before it any size is taken: who
   * came back for it would get the same again.
   */
  push(...messages: readonly Uint8Array[]): void {
    if (this.#failure !== undefined) return;
    const cost = messages.reduce((sum, message) => sum + costOf(message), 0);
    if (this.#bytes > 0 && this.#bytes + cost > this.#limitBytes) {
      this.cutOff();
      return;
    }
    for (const message of messages) this.#messages.push(message);
    this.#bytes += cost;
    this.#wake.resolve();
    this.#backlog.add(this, cost);
  }

  /** Counts memory for what will be pushed, until it is disposed of. */
  gather(bytes: number): Disposable {
    if (this.#failure !== undefined) return { [Symbol.dispose]: () => undefined };
    this.#gathered += bytes;
    this.#backlog.add(this, bytes);
    return {
      [Symbol.dispose]: () => {
        if (this.#failure === undefined) this.#drop(bytes);
      },
    };
  }

  /** For a reader that is too far behind. */
  cutOff(): void {
    this.fail(RpcError.slowWatcher());
  }

  /** Drops what waits; the reader gets `error` next. Only the first failure counts. */
  fail(error: RpcError): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    this.#messages = [];
    this.#taken = 0;
    this.#drop(this.#gathered);
    this.#release(this.#bytes);
    this.#failed.reject(error);
    this.#wake.resolve();
    this.#low.resolve();
  }

  /**
   * For what can wait, such as history: resolves when little is left to read and all earlier turns are over. The turn is
   * over when it is disposed of. After a failure nobody waits.
   */
  async takeTurn(): Promise<Disposable> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const earlier = this.#turn;
    this.#turn = promise;
    await earlier;
    while (!this.#isLow) {
      this.#low = Promise.withResolvers();
      await this.#low.promise;
    }
    return { [Symbol.dispose]: resolve };
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

  get #isLow(): boolean {
    return this.#bytes === 0 || (this.#bytes * LOW_PART <= this.#limitBytes && !this.#backlog.isStrained);
  }

  #remove(message: Uint8Array): Uint8Array {
    this.#taken++;
    this.#release(costOf(message));
    if (this.#isLow) this.#low.resolve();
    if (this.#taken === this.#messages.length || this.#taken >= 1024) {
      this.#messages.splice(0, this.#taken);
      this.#taken = 0;
    }
    return message;
  }

  #drop(gathered: number): void {
    this.#gathered -= gathered;
    this.#backlog.remove(this, gathered);
  }

  #release(bytes: number): void {
    this.#bytes -= bytes;
    this.#backlog.remove(this, bytes);
  }
}

function costOf(message: Uint8Array): number {
  return message.length + MESSAGE_BYTES;
}
