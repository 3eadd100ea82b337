import { isIPv4, isIPv6, SocketAddress } from "node:net";

/** The two families of Internet addresses. */
export type Family = 4 | 6;

/** An address as a number, so that ranges can be compared and counted. */
export interface Address {
  readonly family: Family;
  readonly value: bigint;
}

/** A range of addresses; `first` has no host bits set. */
export interface Cidr {
  readonly family: Family;
  readonly first: bigint;
  readonly prefixLength: number;
}

/** The address, or undefined when the text is none. Zones (`fe80::1%eth0`) are refused. */
export function parseAddress(text: string): Address | undefined {
  if (isIPv4(text)) return { family: 4, value: fromGroups(text.split(".").map(Number), 8n) };
  if (!isIPv6(text) || text.includes("%")) return undefined;
  return { family: 6, value: fromGroups(groupsOfIPv6(text), 16n) };
}

/** The shortest usual spelling: dotted, or RFC 5952 for IPv6. */
export function formatAddress({ family, value }: Address): string {
  if (family === 4) return toGroups(value, { count: 4, width: 8n }).join(".");
  const groups = toGroups(value, { count: 8, width: 16n }).map((group) => group.toString(16));
  return new SocketAddress({ address: groups.join(":"), family: "ipv6" }).address;
}

/** The range, with host bits cleared as Kubernetes does, or undefined when the text is none. */
export function parseCidr(text: string): Cidr | undefined {
  const match = /^([^/]+)\/(\d{1,3})$/.exec(text);
  const address = parseAddress(match?.[1] ?? "");
  const prefixLength = Number(match?.[2]);
  if (address === undefined || prefixLength > bitsOf(address.family)) return undefined;
  const hostBits = BigInt(bitsOf(address.family) - prefixLength);
  return { family: address.family, first: (address.value >> hostBits) << hostBits, prefixLength };
}

/** `network/length`, as {@link parseCidr} reads it. */
export function formatCidr(cidr: Cidr): string {
  return `${formatAddress({ family: cidr.family, value: cidr.first })}/${cidr.prefixLength}`;
}

/** Whether the address lies in the range. */
export function contains(cidr: Cidr, address: Address): boolean {
  return cidr.family === address.family && address.value >= cidr.first && address.value <= lastOf(cidr);
}

/** Whether the ranges share an address. */
export function overlaps(one: Cidr, other: Cidr): boolean {
  return one.family === other.family && one.first <= lastOf(other) && other.first <= lastOf(one);
}

/** The address `offset` after the network address, or undefined when the range is too small for it. */
export function addressAt(cidr: Cidr, offset: number): Address | undefined {
  const address = { family: cidr.family, value: cidr.first + BigInt(offset) };
  return contains(cidr, address) ? address : undefined;
}

function lastOf(cidr: Cidr): bigint {
  return cidr.first + (1n << BigInt(bitsOf(cidr.family) - cidr.prefixLength)) - 1n;
}

function bitsOf(family: Family): number {
  return family === 4 ? 32 : 128;
}

function groupsOfIPv6(text: string): number[] {
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(text);
  if (dotted !== null) {
    const [a = 0, b = 0, c = 0, d = 0] = dotted.slice(2).map(Number);
    return groupsOfIPv6(`${dotted[1] ?? ""}${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`);
  }
  const [head = "", tail = ""] = text.split("::");
  const left = hexGroups(head);
  const right = hexGroups(tail);
  return [...left, ...new Array<number>(8 - left.length - right.length).fill(0), ...right];
}

function hexGroups(text: string): number[] {
  return text === "" ? [] : text.split(":").map((group) => Number.parseInt(group, 16));
}

function fromGroups(groups: readonly number[], width: bigint): bigint {
  return groups.reduce((value, group) => (value << width) | BigInt(group), 0n);
}

function toGroups(value: bigint, shape: { readonly count: number; readonly width: bigint }): number[] {
  const mask = (1n << shape.width) - 1n;
  return Array.from({ length: shape.count }, (_, index) =>
    Number((value >> (BigInt(shape.count - 1 - index) * shape.width)) & mask),
  );
}
