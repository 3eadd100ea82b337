import { isIPv4, isIPv6 } from "node:net";

export type Family = 4 | 6;

/** A range of addresses; `address` is the first of the range, in the one spelling that {@link formatAddress} has for it. */
export interface Range {
  readonly family: Family;
  readonly address: string;
  readonly length: number;
}

export const ADDRESS_BITS: Readonly<Record<Family, 32 | 128>> = { 4: 32, 6: 128 };

export function familyOf(address: string): Family {
  return address.includes(":") ? 6 : 4;
}

/** The bytes of an address on the wire. Throws RangeError for any other text. */
export function addressBytes(text: string): Buffer {
  if (isIPv4(text)) return Buffer.from(text.split(".").map(Number));
  if (!isIPv6(text) || text.includes("%")) throw new RangeError(`Cannot read address "${text}": it is none`);
  // A URL spells the address without dots and without leading zeroes.
  const [head = "", tail] = new URL(`http://[${text}]`).hostname.slice(1, -1).split("::");
  const [before, after] = [groupsOf(head), groupsOf(tail ?? "")];
  const bytes = Buffer.alloc(16);
  before.forEach((group, index) => bytes.writeUInt16BE(group, 2 * index));
  after.forEach((group, index) => bytes.writeUInt16BE(group, 2 * (8 - after.length + index)));
  return bytes;
}

function groupsOf(text: string): number[] {
  return text === "" ? [] : text.split(":").map((group) => Number.parseInt(group, 16));
}

/** The usual spelling of 4 or 16 bytes (RFC 5952). */
export function formatAddress(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join(".");
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const groups = Array.from({ length: 8 }, (_, index) => buffer.readUInt16BE(2 * index).toString(16));
  return new URL(`http://[${groups.join(":")}]`).hostname.slice(1, -1);
}

/** Reads `address/length`; bits behind the length are dropped. Undefined when it is no range. */
export function parseRange(text: string): Range | undefined {
  const [address = "", length = "", ...rest] = text.split("/");
  if (rest.length > 0 || !/^\d{1,3}$/.test(length) || !(isIPv4(address) || (isIPv6(address) && !address.includes("%"))))
    return undefined;
  const family = familyOf(address);
  if (Number(length) > ADDRESS_BITS[family]) return undefined;
  return { family, address: formatAddress(masked(addressBytes(address), Number(length))), length: Number(length) };
}

export function formatRange({ address, length }: Range): string {
  return `${address}/${length}`;
}

/** Whether all of `inner` lies in `outer`. */
export function contains(outer: Range, inner: Range): boolean {
  if (outer.family !== inner.family || inner.length < outer.length) return false;
  return formatAddress(masked(addressBytes(inner.address), outer.length)) === outer.address;
}

export function overlaps(one: Range, other: Range): boolean {
  return contains(one, other) || contains(other, one);
}

/** The second address of a range: the one its bridge has. */
export function firstHost({ address }: Range): string {
  const bytes = addressBytes(address);
  bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) + 1;
  return formatAddress(bytes);
}

function masked(bytes: Buffer, length: number): Buffer {
  return Buffer.from(bytes.map((byte, index) => byte & (0xff << (8 - Math.min(8, Math.max(0, length - 8 * index))))));
}

/** The first range of each family; texts that are none are left out. */
export function rangesByFamily(texts: readonly string[]): Readonly<Partial<Record<Family, Range>>> {
  const ranges = texts.map(parseRange).filter((range) => range !== undefined);
  return Object.fromEntries(ranges.toReversed().map((range) => [range.family, range]));
}
