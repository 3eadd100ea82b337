/** Bytes that are not the protobuf message they should be. */
export class ProtoError extends Error {
  override readonly name = "ProtoError";
}

const VARINT = 0;
const FIXED64 = 1;
const LENGTH = 2;
const START_GROUP = 3;
const END_GROUP = 4;
const FIXED32 = 5;
/** How deep groups may be in each other; protobuf's own readers stop at the same depth. */
const GROUP_DEPTH_MAX = 100;
const TWO_32 = 4_294_967_296;

/** Reads one message field by field. Byte fields are views on the buffer, not copies. */
export class ProtoReader {
  readonly #bytes: Buffer;
  readonly #end: number;
  #position: number;
  #field = 0;
  #wireType = VARINT;
  /** The two halves of the last varint. */
  #low = 0;
  #high = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
    this.#position = 0;
    this.#end = bytes.length;
  }

  /** Number of the next field; 0 at the end of the message. */
  next(): number {
    if (this.#position >= this.#end) return 0;
    this.#varint();
    const tag = this.#low;
    this.#wireType = tag & 7;
    this.#field = tag >>> 3;
    if (this.#field === 0) throw new ProtoError("Cannot read message: field number is 0");
    if (this.#high !== 0) throw new ProtoError("Cannot read message: field number is too large");
    return this.#field;
  }

  /** An int64 or enum. Exact below 2^53, rounded beyond. */
  int64(): number {
    this.#varintField();
    return (this.#high | 0) * TWO_32 + this.#low;
  }

  bigint64(): bigint {
    this.#varintField();
    return (BigInt(this.#high | 0) << 32n) | BigInt(this.#low);
  }

  bool(): boolean {
    this.#varintField();
    return (this.#low | this.#high) !== 0;
  }

  bytes(): Buffer {
    this.#expect(LENGTH);
    const length = this.#length();
    const start = this.#position;
    this.#position += length;
    return this.#bytes.subarray(start, this.#position);
  }

  string(): string {
    return this.bytes().toString("utf8");
  }

  /** A repeated int64 or enum: packed, as proto3 sends it, or one by one. */
  packedInt64(each: (value: number) => void): void {
    if (this.#wireType !== LENGTH) {
      each(this.int64());
      return;
    }
    const length = this.#length();
    const end = this.#position + length;
    while (this.#position < end) {
      this.#varint();
      each((this.#high | 0) * TWO_32 + this.#low);
    }
    if (this.#position !== end) throw truncated();
  }

  /** Passes over the field whose number was just read. */
  skip(): void {
    switch (this.#wireType) {
      case VARINT: {
        this.#varint();
        return;
      }
      case FIXED64: {
        this.#advance(8);
        return;
      }
      case LENGTH: {
        this.#advance(this.#length());
        return;
      }
      case START_GROUP: {
        this.#skipGroup();
        return;
      }
      case FIXED32: {
        this.#advance(4);
        return;
      }
      default:
        throw new ProtoError(`Cannot read message: wire type is ${this.#wireType}`);
    }
  }

  /** A group ends with a tag of its own number; what is in it is fields, and groups again. */
  #skipGroup(): void {
    const open = [this.#field];
    while (open.length > 0) {
      const field = this.next();
      if (field === 0) throw truncated();
      if (this.#wireType === START_GROUP) {
        open.push(field);
        if (open.length > GROUP_DEPTH_MAX)
          throw new ProtoError(`Cannot read message: groups are more than ${GROUP_DEPTH_MAX} deep`);
      } else if (this.#wireType !== END_GROUP) this.skip();
      else if (open.pop() !== field)
        throw new ProtoError(`Cannot read message: group ${field} ends where it is not open`);
    }
  }

  #varintField(): void {
    this.#expect(VARINT);
    this.#varint();
  }

  #expect(wireType: number): void {
    if (this.#wireType !== wireType)
      throw new ProtoError(`Cannot read field: wire type is ${this.#wireType}, not ${wireType}`);
  }

  #length(): number {
    this.#varint();
    if (this.#high !== 0 || this.#low > this.#end - this.#position) throw truncated();
    return this.#low;
  }

  #advance(count: number): void {
    if (count > this.#end - this.#position) throw truncated();
    this.#position += count;
  }

  #varint(): void {
    let low = 0;
    let high = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = this.#byte();
      const bits = byte & 0x7f;
      if (shift < 28) low |= bits << shift;
      else if (shift === 28) {
        low |= bits << 28;
        high = bits >>> 4;
      } else high |= bits << (shift - 32); // the tenth byte carries one bit, the rest falls off
      if (byte < 0x80) {
        this.#low = low >>> 0;
        this.#high = high >>> 0;
        return;
      }
    }
    throw new ProtoError("Cannot read number: longer than ten bytes");
  }

  #byte(): number {
    const byte = this.#position < this.#end ? this.#bytes[this.#position++] : undefined;
    if (byte === undefined) throw truncated();
    return byte;
  }
}

/** What to do with each known field of a message under construction. */
export type Fields<T> = Readonly<Record<number, (message: T, reader: ProtoReader) => void>>;

/** Fills `message` from `bytes` by `fields`; unknown fields are passed over. Throws ProtoError. */
export function decodeInto<T>(message: T, bytes: Buffer, fields: Fields<T>): T {
  const reader = new ProtoReader(bytes);
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    const read = fields[field];
    if (read === undefined) reader.skip();
    else read(message, reader);
  }
  return message;
}

function truncated(): ProtoError {
  return new ProtoError("Cannot read message: ends in the middle of a field");
}
