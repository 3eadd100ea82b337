import { isIPv4, isIPv6 } from "node:net";

/** The range that an address lies in: `10.42.3.1/24` is of `10.42.3.0/24`. Throws RangeError for any other text. */
export function networkOf(text: string): string {
  const [address = "", length = ""] = text.split("/");
  const bits = isIPv4(address) ? 32 : 128;
  const isRange = (isIPv4(address) || isIPv6(address)) && /^\d{1,3}$/.test(length) && Number(length) <= bits;
  if (!isRange) throw new RangeError(`Cannot use range "${text}": it is not an address with a length`);
  const host = BigInt(bits - Number(length));
  const network = (bits === 32 ? valueOfIpv4(address) : valueOfIpv6(address)) & ~((1n << host) - 1n);
  return `${bits === 32 ? formatIpv4(network) : formatIpv6(network)}/${length}`;
}

function valueOfIpv4(address: string): bigint {
  return address.split(".").reduce((value, part) => (value << 8n) | BigInt(part), 0n);
}

function formatIpv4(value: bigint): string {
  return [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 0xffn).join(".");
}

/** A URL spells the address without dots and without leading zeroes. */
function valueOfIpv6(address: string): bigint {
  const [head = "", tail = ""] = canonical(address).split("::");
  const [before, after] = [groupsOf(head), groupsOf(tail)];
  const zeroes = Array<string>(8 - before.length - after.length).fill("0");
  return [...before, ...zeroes, ...after].reduce((value, group) => (value << 16n) | BigInt(`0x${group}`), 0n);
}

function groupsOf(text: string): readonly string[] {
  return text.split(":").filter((group) => group !== "");
}

function formatIpv6(value: bigint): string {
  const groups = Array.from({ length: 8 }, (_, index) => ((value >> BigInt(112 - 16 * index)) & 0xffffn).toString(16));
  return canonical(groups.join(":"));
}

function canonical(address: string): string {
  return new URL(`http://[${address}]`).hostname.slice(1, -1);
}
