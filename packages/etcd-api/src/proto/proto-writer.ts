const VARINT = 0;
const LENGTH = 2;
const TWO_32 = 4_294_967_296;
const SIZE_MIN = 64;

/**
 * Writes one message **back to front**: last field first, last element of a list first. So the length of a nested
 * message is known when its prefix is written, and every byte is copied once when the size given was enough.
 * Zero, false and empty are left out as proto3 does, except by the `present…` methods (members of a oneof).
 */
export class ProtoWriter {
  #bytes: Buffer;
  #start: number;

  /** `sizeHint`: bytes the message will need; too small costs copies only. */
  constructor(sizeHint = SIZE_MIN) {
    this.#bytes = Buffer.allocUnsafe(Math.max(sizeHint, SIZE_MIN));
    this.#start = this.#bytes.length;
  }

  finish(): Buffer {
    return this.#bytes.subarray(this.#start);
  }

  int64(field: number, value: number): void {
    if (value !== 0) this.presentInt64(field, value);
  }

  presentInt64(field: number, value: number): void {
    this.#varint(value >>> 0, Math.floor(value / TWO_32) >>> 0);
    this.#tag(field, VARINT);
  }

  bigint64(field: number, value: bigint): void {
    if (value !== 0n) this.presentBigint64(field, value);
  }

  presentBigint64(field: number, value: bigint): void {
    const bits = BigInt.asUintN(64, value);
    this.#varint(Number(bits & 0xffff_ffffn), Number(bits >> 32n));
    this.#tag(field, VARINT);
  }

  bool(field: number, value: boolean): void {
    if (value) this.presentInt64(field, 1);
  }

  bytes(field: number, value: Uint8Array): void {
    if (value.length > 0) this.presentBytes(field, value);
  }

  presentBytes(field: number, value: Uint8Array): void {
    this.raw(value);
    this.#varint(value.length, 0);
    this.#tag(field, LENGTH);
  }

  string(field: number, value: string): void {
    if (value !== "") this.presentBytes(field, Buffer.from(value, "utf8"));
  }

  /** A nested message, present even when `write` writes nothing. */
  message(field: number, write: (writer: ProtoWriter) => void): void {
    const end = this.#bytes.length - this.#start;
    write(this);
    this.#varint(this.#bytes.length - this.#start - end, 0);
    this.#tag(field, LENGTH);
  }

  /** Already encoded bytes, as they are. */
  raw(value: Uint8Array): void {
    this.#reserve(value.length);
    this.#start -= value.length;
    this.#bytes.set(value, this.#start);
  }

  #tag(field: number, wireType: number): void {
    this.#varint(field * 8 + wireType, 0);
  }

  #varint(low: number, high: number): void {
    const size = high === 0 ? varintSize(low) : highVarintSize(high);
    this.#reserve(size);
    this.#start -= size;
    let position = this.#start;
    for (let left = size; left > 1; left--) {
      this.#bytes[position++] = (low & 0x7f) | 0x80;
      low = ((low >>> 7) | (high << 25)) >>> 0;
      high >>>= 7;
    }
    this.#bytes[position] = low;
  }

  #reserve(count: number): void {
    if (count <= this.#start) return;
    const used = this.#bytes.length - this.#start;
    const grown = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, used + count));
    this.#bytes.copy(grown, grown.length - used, this.#start);
    this.#start = grown.length - used;
    this.#bytes = grown;
  }
}

/** The bytes of the message that `write` writes. */
export function encode(write: (writer: ProtoWriter) => void, sizeHint?: number): Buffer {
  const writer = new ProtoWriter(sizeHint);
  write(writer);
  return writer.finish();
}

function varintSize(low: number): number {
  return low === 0 ? 1 : Math.ceil((32 - Math.clz32(low)) / 7);
}

function highVarintSize(high: number): number {
  return Math.ceil((64 - Math.clz32(high)) / 7);
}
