/** A decoded integer and where the next one begins. */
export interface Decoded<T> {
  readonly value: T;
  readonly next: number;
}

/** Why bytes are no varint. */
export type VarintFault = "truncated" | "overflow";

const BYTES_MAX = 10;
const INT64_BITS = 64;

/**
 * Reads one integer in the form of Go's encoding/binary varint: zig-zag, then 7 bits per byte, low ones first, 64 bits in all.
 * A longer form than needed is accepted, as Go does.
 */
export function readVarint(bytes: Uint8Array, start: number): Decoded<bigint> | VarintFault {
  // Four groups of bits at a time stay exact in a number's 32-bit operators.
  const groups = [0, 0, 0];
  for (let index = 0; index < BYTES_MAX; index++) {
    const byte = bytes[start + index];
    if (byte === undefined) return "truncated";
    const group = index >> 2;
    groups[group] = (groups[group] ?? 0) | ((byte & 0x7f) << (7 * (index & 3)));
    if (byte >= 0x80) continue;
    if (index === BYTES_MAX - 1 && byte > 1) return "overflow";
    return { value: unzigzag(groups), next: start + index + 1 };
  }
  return "overflow";
}

/** {@link readVarint} for integers that fit a number exactly; others are an overflow. */
export function readSafeVarint(bytes: Uint8Array, start: number): Decoded<number> | VarintFault {
  const first = bytes[start];
  if (first !== undefined && first < 0x80) return { value: (first >> 1) ^ -(first & 1), next: start + 1 };
  const wide = readVarint(bytes, start);
  if (typeof wide === "string") return wide;
  const value = Number(wide.value);
  return Number.isSafeInteger(value) ? { value, next: wide.next } : "overflow";
}

/** Writes `value`, which has to fit 64 bits, and returns where the next byte goes. */
export function writeVarint(bytes: Uint8Array, start: number, value: bigint | number): number {
  let rest = zigzag(BigInt(value));
  let at = start;
  while (rest > 0xffff_ffffn) {
    bytes[at++] = Number(rest & 0x7fn) | 0x80;
    rest >>= 7n;
  }
  let low = Number(rest);
  while (low >= 0x80) {
    bytes[at++] = (low & 0x7f) | 0x80;
    low = Math.floor(low / 0x80);
  }
  bytes[at++] = low;
  return at;
}

/** The most bytes that {@link writeVarint} writes. */
export const VARINT_BYTES_MAX = BYTES_MAX;

function zigzag(value: bigint): bigint {
  return BigInt.asUintN(INT64_BITS, (value << 1n) ^ (value >> 63n));
}

function unzigzag([low = 0, middle = 0, high = 0]: readonly number[]): bigint {
  const raw = BigInt(low) | (BigInt(middle) << 28n) | (BigInt(high) << 56n);
  return (raw >> 1n) ^ -(raw & 1n);
}
