/** A damaged or foreign block. */
export class S2FormatError extends Error {
  override readonly name = "S2FormatError";
}

/** Reads bytes of a block; past its end it throws. */
class Cursor {
  readonly #bytes: Uint8Array;
  position = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.position >= this.#bytes.length;
  }

  /** A little-endian number of up to four bytes. */
  number(byteCount: number): number {
    let value = 0;
    for (let i = 0; i < byteCount; i++) value += this.#byte() * 2 ** (8 * i);
    return value;
  }

  varint(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.#byte();
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw new S2FormatError("Cannot read S2 block: its length is no number of 32 bits");
  }

  slice(length: number): Uint8Array {
    const end = this.position + length;
    if (end > this.#bytes.length) throw new S2FormatError("Cannot read S2 block: it ends in a literal");
    const part = this.#bytes.subarray(this.position, end);
    this.position = end;
    return part;
  }

  #byte(): number {
    const byte = this.#bytes[this.position++];
    if (byte === undefined) throw new S2FormatError("Cannot read S2 block: it ends too early");
    return byte;
  }
}

interface Copy {
  readonly offset: number;
  readonly length: number;
}

/**
 * Decodes a block of Snappy, or of its superset S2: there a copy with a one-byte offset of 0 repeats the last offset and has a longer
 * length. Throws S2FormatError, also when the block says it is longer than `maxBytes`.
 */
export function decodeBlock(bytes: Uint8Array, maxBytes: number): Buffer {
  const source = new Cursor(bytes);
  const length = source.varint();
  if (length > maxBytes) throw new S2FormatError(`Cannot read S2 block: its ${length} bytes are more than ${maxBytes}`);
  const target = Buffer.alloc(length);
  let written = 0;
  let lastOffset = 0;
  while (!source.isAtEnd) {
    const tag = source.number(1);
    if ((tag & 3) === 0) {
      const literal = source.slice(literalLength(tag, source));
      if (written + literal.length > length) throw new S2FormatError("Cannot read S2 block: a literal is too long");
      target.set(literal, written);
      written += literal.length;
    } else {
      const copy = readCopy(tag, source, lastOffset);
      copyWithin(target, written, copy);
      written += copy.length;
      lastOffset = copy.offset;
    }
  }
  if (written !== length) throw new S2FormatError(`Cannot read S2 block: it has ${written} bytes, not ${length}`);
  return target;
}

function literalLength(tag: number, source: Cursor): number {
  const code = tag >> 2;
  return 1 + (code < 60 ? code : source.number(code - 59));
}

function readCopy(tag: number, source: Cursor, lastOffset: number): Copy {
  const code = tag >> 2;
  if ((tag & 3) === 2) return { length: code + 1, offset: source.number(2) };
  if ((tag & 3) === 3) return { length: code + 1, offset: source.number(4) };
  const offset = (code >> 3) * 256 + source.number(1);
  if (offset > 0) return { length: (code & 7) + 4, offset };
  return { length: repeatLength(code & 7, source), offset: lastOffset };
}

/** Codes 5 to 7 say how many bytes of length follow; each begins where the one before it ends. */
function repeatLength(code: number, source: Cursor): number {
  if (code < 5) return code + 4;
  const base = [4, 2 ** 8, 2 ** 16][code - 5] ?? 0;
  return source.number(code - 4) + base + 4;
}

/** Byte by byte where the two overlap: that is how runs are written. */
function copyWithin(target: Buffer, at: number, { offset, length }: Copy): void {
  if (offset === 0 || offset > at || at + length > target.length)
    throw new S2FormatError("Cannot read S2 block: a copy reaches outside of it");
  if (offset >= length) target.copyWithin(at, at - offset, at - offset + length);
  else for (let i = at; i < at + length; i++) target[i] = target[i - offset] ?? 0;
}
