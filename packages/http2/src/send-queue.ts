import type { HeaderList } from "./hpack/header-list.ts";

/** What one stream has to send, in the fixed order head, body, trailers, and its flow-control window. */
export class SendQueue {
  /** May be negative: the peer can shrink it after the fact. */
  window: number;
  head: HeaderList | undefined;
  trailers: HeaderList | undefined;
  /** Nothing is added any more. */
  isEnding = false;
  /** The user wants to know when there is room. */
  isWaitedFor = false;
  /** In the list of streams that can send, or of those that wait for the connection's window. */
  isListed = false;
  /** Bytes of the body that wait. */
  bytes = 0;

  readonly #limitBytes: number;
  #pieces: Uint8Array[] = [];
  #first = 0;
  /** Sent bytes of the first piece. */
  #offset = 0;

  constructor(window: number, limitBytes: number) {
    this.window = window;
    this.#limitBytes = limitBytes;
  }

  /** False when enough waits. */
  push(bytes: Uint8Array): boolean {
    this.#pieces.push(bytes);
    this.bytes += bytes.length;
    if (this.bytes < this.#limitBytes) return true;
    this.isWaitedFor = true;
    return false;
  }

  /** Hands the next `count` bytes of the body to `each`, piece by piece. There are as many. */
  take(count: number, each: (bytes: Uint8Array) => void): void {
    this.bytes -= count;
    for (let left = count; left > 0;) {
      const piece = this.#pieces[this.#first];
      if (piece === undefined) throw new Error("Cannot send body: it is shorter than it was");
      const available = piece.length - this.#offset;
      const end = this.#offset + Math.min(available, left);
      each(end - this.#offset === piece.length ? piece : piece.subarray(this.#offset, end));
      left -= end - this.#offset;
      if (end === piece.length) this.#next();
      else this.#offset = end;
    }
  }

  /** True once when there is room again for a user who was told that there is none. */
  hasRoomAgain(): boolean {
    if (!this.isWaitedFor || this.bytes * 2 > this.#limitBytes) return false;
    this.isWaitedFor = false;
    return true;
  }

  /** Something can be sent as far as the stream itself is concerned. */
  get canSend(): boolean {
    return this.head !== undefined || (this.bytes > 0 ? this.window > 0 : this.isEnding);
  }

  /** The last byte of the body, or an empty frame, is the end. */
  get endsWithoutTrailers(): boolean {
    return this.isEnding && this.trailers === undefined;
  }

  clear(): void {
    this.#pieces = [];
    this.#first = 0;
    this.#offset = 0;
    this.bytes = 0;
    this.head = undefined;
    this.isWaitedFor = false;
  }

  #next(): void {
    this.#offset = 0;
    this.#first++;
    if (this.#first < this.#pieces.length && this.#first < 256) return;
    this.#pieces = this.#pieces.slice(this.#first);
    this.#first = 0;
  }
}
