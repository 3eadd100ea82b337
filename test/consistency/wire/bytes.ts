/** Bytes as a string of one char per byte: compares as the bytes do, and prints well in histories. */
export type ByteText = string;

const LENGTH_DELIMITED = 2;

/** Writes one protobuf message, fields in the order of the calls. Proto3: what has its default value is left out. */
export class MessageWriter {
  readonly #parts: Buffer[] = [];

  int(field: number, value: number): this {
    return value === 0 ? this : this.presentInt(field, value);
  }

  /** For members of a oneof, where zero means something. */
  presentInt(field: number, value: number): this {
    this.#parts.push(varint(field << 3), varint(value));
    return this;
  }

  flag(field: number, value: boolean | undefined): this {
    return this.int(field, value === true ? 1 : 0);
  }

  bytes(field: number, value: ByteText): this {
    return value.length === 0 ? this : this.message(field, Buffer.from(value, "latin1"));
  }

  /** A nested message, or bytes that are present although empty. */
  message(field: number, encoded: Buffer): this {
    this.#parts.push(varint((field << 3) | LENGTH_DELIMITED), varint(encoded.length), encoded);
    return this;
  }

  finish(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  while (rest > 0x7fn) {
    bytes.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return Buffer.from(bytes);
}

/** One field as it came. `number` is the signed 64-bit reading of a varint, `bytes` the content otherwise. */
export interface Field {
  readonly field: number;
  readonly number: number;
  readonly bytes: Buffer;
}

const NOTHING = Buffer.alloc(0);

/** The fields of a message in their order. Throws on what is no protobuf. */
export function* readFields(message: Buffer): Generator<Field> {
  let at = 0;
  const readVarint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = message[at++];
      if (byte === undefined) throw new Error("Cannot read message: it ends in the middle of a number");
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw new Error("Cannot read message: a number has more than ten bytes");
  };
  while (at < message.length) {
    const tag = Number(readVarint());
    const [field, wireType] = [tag >>> 3, tag & 7];
    if (wireType === 0) {
      yield { field, number: Number(BigInt.asIntN(64, readVarint())), bytes: NOTHING };
      continue;
    }
    const length = wireType === LENGTH_DELIMITED ? Number(readVarint()) : fixedLength(wireType);
    if (at + length > message.length) throw new Error("Cannot read message: a field is longer than the message");
    yield { field, number: 0, bytes: message.subarray(at, at + length) };
    at += length;
  }
}

function fixedLength(wireType: number): number {
  if (wireType === 1) return 8;
  if (wireType === 5) return 4;
  throw new Error(`Cannot read message: wire type ${wireType} does not exist`);
}

export function toText(bytes: Buffer): ByteText {
  return bytes.toString("latin1");
}
