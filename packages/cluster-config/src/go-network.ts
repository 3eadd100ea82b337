import { isIPv4, SocketAddress } from "node:net";

/** Go's `net.IPNet` in JSON: the address as text, the mask as base64 of its bytes. */
export interface GoNetwork {
  readonly IP: string;
  readonly Mask: string;
}

/** Go's `net.PortRange` of k8s.io/apimachinery in JSON. */
export interface GoPortRange {
  readonly Base: number;
  readonly Size: number;
}

/** `10.42.0.0/16` as Go writes it. */
export function goNetwork(cidr: string): GoNetwork {
  const [ip = "", length = ""] = cidr.split("/");
  const bytes = isIPv4(ip) ? 4 : 16;
  const bits = BigInt(Number(length));
  const all = (1n << BigInt(bytes * 8)) - 1n;
  const mask = all ^ ((1n << (BigInt(bytes * 8) - bits)) - 1n);
  return { IP: ip, Mask: Buffer.from(mask.toString(16).padStart(bytes * 2, "0"), "hex").toString("base64") };
}

/** The range again, or undefined when the value is none: an address, and a mask of leading ones that fits its family. */
export function cidrOf(value: unknown): string | undefined {
  if (!isRecord(value)) return undefined;
  const { IP: ip, Mask: mask } = value;
  if (typeof ip !== "string" || typeof mask !== "string") return undefined;
  const address = SocketAddress.parse(isIPv4(ip) ? ip : `[${ip}]`)?.address;
  const bits = Array.from(Buffer.from(mask, "base64"), (byte) => byte.toString(2).padStart(8, "0")).join("");
  const length = bits.indexOf("0") === -1 ? bits.length : bits.indexOf("0");
  if (address === undefined || bits.length !== (isIPv4(ip) ? 32 : 128) || bits.includes("1", length)) return undefined;
  return `${address}/${length}`;
}

/** `30000-32767` as Go writes it. */
export function goPortRange(text: string): GoPortRange {
  const [first = 0, last = first] = text.split("-").map(Number);
  return { Base: first, Size: last - first + 1 };
}

/** The range again, or undefined when the value is none or empty. */
export function portRangeOf(value: unknown): string | undefined {
  if (!isRecord(value)) return undefined;
  const { Base: base, Size: size } = value;
  if (!isPort(base) || !isPort(size) || size === 0) return undefined;
  return `${base}-${base + size - 1}`;
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isPort(value: unknown): value is number {
  return Number.isInteger(value) && Number(value) >= 0 && Number(value) <= 65_535;
}
