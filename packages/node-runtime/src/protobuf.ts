interface ProtobufField {
  readonly number: number;
  /** A number, or what has a length: a text, bytes, a message. */
  readonly value: number | Uint8Array;
}

/** The fields of a protobuf message of numbers, texts and messages, in their order. Rejects one that is cut short, or has other fields. */
export function readFields(bytes: Uint8Array): ProtobufField[] {
  const fields: ProtobufField[] = [];
  let offset = 0;
  const varint = () => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[offset++];
      if (byte === undefined || shift > 63) throw new Error("Cannot read message: it is cut short");
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
  };
  while (offset < bytes.length) {
    const tag = varint();
    const number = Math.floor(tag / 8);
    const kind = tag % 8;
    if (kind !== 0 && kind !== 2) throw new Error(`Cannot read message: field ${number} is of kind ${kind}`);
    const head = varint();
    if (kind === 2 && offset + head > bytes.length) throw new Error("Cannot read message: it is cut short");
    fields.push({ number, value: kind === 0 ? head : bytes.subarray(offset, (offset += head)) });
  }
  return fields;
}

/** The text in the field of this number; of several the last, undefined when there is none. */
export function textField(fields: readonly ProtobufField[], number: number): string | undefined {
  const value = fields.findLast((field) => field.number === number)?.value;
  return value === undefined || typeof value === "number" ? undefined : new TextDecoder().decode(value);
}

/** A field that has a length, as it stands in a message. `number` is below 16. */
export function formatField(number: number, value: string | Uint8Array): Buffer {
  const content = Buffer.from(value);
  const length: number[] = [];
  let left = content.length;
  for (; left >= 0x80; left = Math.floor(left / 0x80)) length.push((left % 0x80) + 0x80);
  return Buffer.concat([Buffer.from([number * 8 + 2, ...length, left]), content]);
}
