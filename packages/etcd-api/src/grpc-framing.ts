import { Code, RpcError } from "./rpc-error.ts";

/** Compression flag and length in front of each message. */
const PREFIX_BYTES = 5;

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

/** Cuts the body of a request into messages, however its pieces were cut. */
export class MessageAssembler {
  readonly #bytesMax: number;
  /** Copies of what has come of a message so far: a view would keep alive whatever came in with it. */
  #parts: Buffer[] = [];
  #bytes = 0;
  /** Size of the unfinished message with its prefix; 0 until the prefix is complete. */
  #wanted = 0;

  /** `bytesMax`: largest message that is taken. */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** A message has begun and not ended. */
  get isPartial(): boolean {
    return this.#bytes > 0;
  }

  /** Calls `each` with every message that `bytes` completes. Throws RpcError for one that cannot be taken. */
  push(bytes: Buffer, each: (message: Buffer) => void): void {
    let rest = bytes;
    while (rest.length > 0) rest = this.#bytes === 0 ? this.#whole(rest, each) : this.#more(rest, each);
  }

  /** Takes one message that is there as a whole, without copying it; else begins a partial one. Returns the rest. */
  #whole(bytes: Buffer, each: (message: Buffer) => void): Buffer {
    const end = bytes.length < PREFIX_BYTES ? Infinity : this.#sizeOf(bytes);
    if (bytes.length < end) return this.#more(bytes, each);
    each(bytes.subarray(PREFIX_BYTES, end));
    return bytes.subarray(end);
  }

  #more(bytes: Buffer, each: (message: Buffer) => void): Buffer {
    const wanted = this.#wanted === 0 ? PREFIX_BYTES : this.#wanted;
    const count = Math.min(wanted - this.#bytes, bytes.length);
    this.#parts.push(Buffer.from(bytes.subarray(0, count)));
    this.#bytes += count;
    if (this.#bytes === wanted) this.#step(each);
    return bytes.subarray(count);
  }

  #step(each: (message: Buffer) => void): void {
    const joined = Buffer.concat(this.#parts);
    if (this.#wanted === 0) this.#wanted = this.#sizeOf(joined);
    this.#parts = [joined];
    if (this.#bytes < this.#wanted) return;
    this.#parts = [];
    this.#bytes = 0;
    this.#wanted = 0;
    each(joined.subarray(PREFIX_BYTES));
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
