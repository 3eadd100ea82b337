import { Code, RpcError } from "./rpc-error.ts";

/** Compression flag and length in front of each message. */
const PREFIX_BYTES = 5;
const NOTHING = Buffer.alloc(0);

/** The five bytes that go before a message that is not compressed. */
export function messagePrefix(length: number): Buffer {
  const prefix = Buffer.allocUnsafe(PREFIX_BYTES);
  prefix[0] = 0;
  prefix.writeUInt32BE(length, 1);
  return prefix;
}

/** Bytes a message takes on the wire. */
export function framedSize(message: Uint8Array): number {
  return PREFIX_BYTES + message.length;
}

/**
 * Cuts the body of a request into messages, however its pieces were cut. What waits takes at most twice the bytes of the longest message it
 * has waited for, however many pieces there are.
 */
export class MessageReader {
  readonly #bytesMax: number;
  /** What has come and is not read: a part of the piece that came last, or of `#own`. */
  #rest: Buffer = NOTHING;
  /** Memory of ours that ends behind `#rest` or later; empty while the rest lies in a piece. */
  #own: Buffer = NOTHING;
  /** Where the rest ends in it. */
  #end = 0;

  /** `bytesMax`: largest message that is taken. */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Something has come that {@link next} has not given. */
  get hasRest(): boolean {
    return this.#rest.length > 0;
  }

  push(bytes: Buffer): void {
    if (this.#rest.length === 0) {
      this.#rest = bytes;
      this.#own = NOTHING;
      return;
    }
    const { length } = this.#rest;
    if (this.#own.length - this.#end < bytes.length) this.#move(Math.max(length + bytes.length, 2 * length));
    bytes.copy(this.#own, this.#end);
    this.#end += bytes.length;
    this.#rest = this.#own.subarray(this.#end - length - bytes.length, this.#end);
  }

  /** The next message that is there as a whole. Its bytes are not changed later. Throws RpcError for one that cannot be taken. */
  next(): Buffer | undefined {
    const end = this.#rest.length < PREFIX_BYTES ? Infinity : this.#sizeOf(this.#rest);
    if (this.#rest.length < end) return undefined;
    const message = this.#rest.subarray(PREFIX_BYTES, end);
    this.#rest = this.#rest.subarray(end);
    return message;
  }

  /** To be called when the rest is left to wait: a part of a piece would keep alive whatever came in with it. */
  keep(): void {
    if (this.#own.length === 0 && this.#rest.length > 0) this.#move(this.#rest.length);
  }

  #move(capacity: number): void {
    this.#own = Buffer.allocUnsafeSlow(capacity);
    this.#end = this.#rest.copy(this.#own);
    this.#rest = this.#own.subarray(0, this.#end);
  }

  #sizeOf(prefix: Buffer): number {
    if (prefix[0] !== 0) throw new RpcError(Code.internal, "grpc: compressed flag set with identity or empty encoding");
    const length = prefix.readUInt32BE(1);
    if (length > this.#bytesMax)
      throw new RpcError(
        Code.resourceExhausted,
        `grpc: received message larger than max (${length} vs. ${this.#bytesMax})`,
      );
    return PREFIX_BYTES + length;
  }
}
