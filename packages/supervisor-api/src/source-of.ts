import { isIPv6 } from "node:net";

/** Whom an address counts for, where many share something: who has an IPv6 address mostly has its whole network of 64 bits. */
export function sourceOf(address: string): string {
  if (!isIPv6(address)) return address;
  const [head = "", tail] = address.split("::");
  const left = head === "" ? [] : head.split(":");
  const right = tail === undefined || tail === "" ? [] : tail.split(":");
  const gap = tail === undefined ? 0 : 8 - left.length - right.length;
  return [...left, ...new Array<string>(Math.max(0, gap)).fill("0"), ...right].slice(0, 4).join(":");
}
