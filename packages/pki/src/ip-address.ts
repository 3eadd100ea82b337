import { isIP, SocketAddress } from "node:net";

/**
 * The bytes of an IP address as a certificate holds them: 4 or 16, an IPv4-mapped IPv6 address as 4, a zone dropped.
 * Undefined when the text is not an address.
 */
export function ipBytes(text: string): Buffer | undefined {
  const canonical = canonicalIp(text);
  if (canonical === undefined) return undefined;
  if (isIP(canonical) === 4) return Buffer.from(canonical.split(".").map(Number));
  return ipv6Bytes(canonical);
}

/** The usual text form of an address, an IPv4-mapped IPv6 one as IPv4; undefined when it is not an address. */
export function canonicalIp(text: string): string | undefined {
  const [bare = ""] = text.split("%");
  const family = isIP(bare);
  if (family === 0) return undefined;
  if (family === 4) return bare;
  const { address } = new SocketAddress({ address: bare, family: "ipv6" });
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(address);
  return mapped?.[1] ?? address;
}

function ipv6Bytes(address: string): Buffer {
  const [head = "", tail] = withoutDottedQuad(address).split("::");
  const left = groups(head);
  const right = groups(tail ?? "");
  const zeros = new Array<number>(Math.max(0, 8 - left.length - right.length)).fill(0);
  const bytes = Buffer.alloc(16);
  [...left, ...zeros, ...right].forEach((group, index) => bytes.writeUInt16BE(group, index * 2));
  return bytes;
}

function withoutDottedQuad(address: string): string {
  return address.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, ...parts: string[]) => {
    const [a = 0, b = 0, c = 0, d = 0] = parts.slice(0, 4).map(Number);
    return `${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`;
  });
}

function groups(text: string): number[] {
  return text === "" ? [] : text.split(":").map((group) => Number.parseInt(group, 16));
}
