/** One parsed TLV of ASN.1 DER. */
export interface DerElement {
  readonly tag: number;
  readonly content: Buffer;
  /** Header and content, as found. */
  readonly raw: Buffer;
}

/** ASN.1 tags used in X.509 (ITU-T X.690). */
export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utf8String: 0x0c,
  printableString: 0x13,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** One TLV with the given tag around the concatenated parts. */
export function element(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  return Buffer.concat([Buffer.of(tag), lengthOctets(content.length), content]);
}

export const sequence = (...parts: readonly Uint8Array[]): Buffer => element(TAG.sequence, ...parts);

/** Context tag `[n]` EXPLICIT around one value. */
export const explicit = (n: number, value: Uint8Array): Buffer => element(0xa0 | n, value);

export const octetString = (content: Uint8Array): Buffer => element(TAG.octetString, content);

export const booleanTrue = (): Buffer => element(TAG.boolean, Buffer.of(0xff));

/** A BIT STRING; `unusedBits` counts the padding at the end of the last byte. */
export const bitString = (bits: Uint8Array, unusedBits = 0): Buffer =>
  element(TAG.bitString, Buffer.of(unusedBits), bits);

/** A non-negative INTEGER in its shortest form. */
export function integer(value: bigint): Buffer {
  const hex = value.toString(16);
  const bytes = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, "hex");
  const needsSign = ((bytes[0] ?? 0) & 0x80) !== 0;
  return element(TAG.integer, needsSign ? Buffer.of(0) : Buffer.alloc(0), bytes);
}

/** An OBJECT IDENTIFIER from its dotted form. */
export function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  return element(TAG.oid, Buffer.from([first * 40 + second, ...rest.flatMap(base128)]));
}

/** PrintableString where its alphabet is enough, else UTF8String: the choice Go's encoder makes. */
export function directoryString(text: string): Buffer {
  const tag = /^[A-Za-z0-9 '()+,\-./:=?]*$/.test(text) ? TAG.printableString : TAG.utf8String;
  return element(tag, Buffer.from(text, "utf8"));
}

/** UTCTime up to 2049, GeneralizedTime after, in whole seconds (RFC 5280, 4.1.2.5). */
export function time(date: Date): Buffer {
  const digits = `${date.toISOString().slice(0, 19).replace(/[-T:]/g, "")}Z`;
  const isUtcTime = date.getUTCFullYear() < 2050;
  const text = isUtcTime ? digits.slice(2) : digits;
  return element(isUtcTime ? TAG.utcTime : TAG.generalizedTime, Buffer.from(text, "latin1"));
}

/** The TLV that starts at `offset`. Throws RangeError when it does not fit. */
export function readElement(bytes: Buffer, offset = 0): DerElement {
  const tag = bytes.readUInt8(offset);
  let start = offset + 2;
  let length = bytes.readUInt8(offset + 1);
  if (length >= 0x80) {
    const octets = length - 0x80;
    if (octets < 1 || octets > 4) throw new RangeError(`Cannot read DER: length of ${octets} bytes`);
    length = bytes.readUIntBE(start, octets);
    start += octets;
  }
  if (start + length > bytes.length) throw new RangeError("Cannot read DER: it is cut short");
  return { tag, content: bytes.subarray(start, start + length), raw: bytes.subarray(offset, start + length) };
}

/** All TLVs inside a constructed value, in order. */
export function readChildren(parent: DerElement): DerElement[] {
  const children: DerElement[] = [];
  for (let offset = 0; offset < parent.content.length;) {
    const child = readElement(parent.content, offset);
    children.push(child);
    offset += child.raw.length;
  }
  return children;
}

/** The child at `index`, which must have `tag` when one is given. */
export function childAt(parent: DerElement, index: number, tag?: number): DerElement {
  const child = readChildren(parent)[index];
  if (child === undefined || (tag !== undefined && child.tag !== tag)) {
    throw new RangeError(`Cannot read DER: element ${index} is missing or of another type`);
  }
  return child;
}

function lengthOctets(length: number): Buffer {
  if (length < 0x80) return Buffer.of(length);
  const hex = length.toString(16);
  const bytes = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, "hex");
  return Buffer.concat([Buffer.of(0x80 | bytes.length), bytes]);
}

function base128(value: number): number[] {
  const digits = [value % 128];
  for (let rest = Math.floor(value / 128); rest > 0; rest = Math.floor(rest / 128)) digits.unshift((rest % 128) | 0x80);
  return digits;
}
