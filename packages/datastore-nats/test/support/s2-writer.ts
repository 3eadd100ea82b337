import { maskedCrc32c } from "../../src/crc32c.ts";

const MIN_MATCH = 4;

/**
 * An S2 stream as kine writes it: one compressed chunk with literals, copies and S2's own repeats, which plain Snappy does not have.
 * Finds matches by the last place of each four bytes; that is all a test needs.
 */
export function writeS2(bytes: Buffer): Buffer {
  const block = Buffer.concat([varint(bytes.length), ...elements(bytes)]);
  const sum = Buffer.alloc(4);
  sum.writeUInt32LE(maskedCrc32c(bytes));
  const start = Buffer.concat([Buffer.of(0xff, 6, 0, 0), Buffer.from("S2sTwO")]);
  return Buffer.concat([start, chunk(0x00, Buffer.concat([sum, block])), chunk(0xfe, Buffer.alloc(5))]);
}

function chunk(type: number, body: Buffer): Buffer {
  const header = Buffer.alloc(4);
  header.writeUInt8(type);
  header.writeUIntLE(body.length, 1, 3);
  return Buffer.concat([header, body]);
}

function* elements(bytes: Buffer): Generator<Buffer> {
  const seen = new Map<number, number>();
  let literal = 0;
  let lastOffset = 0;
  for (let at = 0; at + MIN_MATCH <= bytes.length;) {
    const word = bytes.readUInt32LE(at);
    const before = seen.get(word);
    seen.set(word, at);
    if (before === undefined) {
      at++;
      continue;
    }
    if (literal < at) yield literalOf(bytes.subarray(literal, at));
    const offset = at - before;
    let length = MIN_MATCH;
    while (at + length < bytes.length && bytes[at + length] === bytes[before + length]) length++;
    if (offset === lastOffset) yield repeatOf(length);
    else yield* copyOf(offset, length);
    lastOffset = offset;
    at += length;
    literal = at;
  }
  if (literal < bytes.length) yield literalOf(bytes.subarray(literal));
}

function literalOf(bytes: Buffer): Buffer {
  const n = bytes.length - 1;
  if (n < 60) return Buffer.concat([Buffer.of(n << 2), bytes]);
  if (n < 256) return Buffer.concat([Buffer.of(60 << 2, n), bytes]);
  return Buffer.concat([Buffer.of(61 << 2, n & 0xff, n >> 8), bytes]);
}

/** Longer than one copy can be: the rest is a repeat. */
function* copyOf(offset: number, length: number): Generator<Buffer> {
  const first = Math.min(length, offset < 2048 ? 11 : 64);
  if (offset < 2048 && first >= 4) yield Buffer.of(((offset >> 8) << 5) | ((first - 4) << 2) | 1, offset & 0xff);
  else yield Buffer.of(((first - 1) << 2) | 2, offset & 0xff, offset >> 8);
  const rest = length - first;
  if (rest >= MIN_MATCH) yield repeatOf(rest);
  else if (rest > 0) yield Buffer.of(((rest - 1) << 2) | 2, offset & 0xff, offset >> 8);
}

function repeatOf(length: number): Buffer {
  const n = length - 4;
  if (n < 5) return Buffer.of((n << 2) | 1, 0);
  if (n < 4 + 256) return Buffer.of((5 << 2) | 1, 0, n - 4);
  if (n < 256 + 65_536) return Buffer.of((6 << 2) | 1, 0, (n - 256) & 0xff, (n - 256) >> 8);
  const rest = n - 65_536;
  return Buffer.of((7 << 2) | 1, 0, rest & 0xff, (rest >> 8) & 0xff, rest >> 16);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (; value >= 0x80; value >>>= 7) bytes.push((value & 0x7f) | 0x80);
  return Buffer.of(...bytes, value);
}
