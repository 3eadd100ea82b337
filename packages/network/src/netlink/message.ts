/** Bits of `nlmsg_flags` (linux/netlink.h). */
export const Flag = {
  request: 0x1,
  acknowledge: 0x4,
  dumpInterrupted: 0x10,
  dump: 0x300,
  replace: 0x100,
  exclusive: 0x200,
  create: 0x400,
} as const;

/** Message types (linux/rtnetlink.h, linux/netlink.h). */
export const MessageType = {
  error: 2,
  done: 3,
  newLink: 16,
  deleteLink: 17,
  getLink: 18,
  newAddress: 20,
  deleteAddress: 21,
  getAddress: 22,
  newRoute: 24,
  deleteRoute: 25,
  getRoute: 26,
  newNeighbour: 28,
  deleteNeighbour: 29,
  getNeighbour: 30,
} as const;

/** One message: type, flags, and what follows the header: a structure of fixed size, then attributes. */
export interface Message {
  readonly type: number;
  readonly flags: number;
  readonly body: Buffer;
}

export type Attribute = readonly [type: number, value: Uint8Array];

const HEADER_BYTES = 16;
const ATTRIBUTE_HEADER_BYTES = 4;
// Two bits of an attribute's type are flags: nested, and in network byte order.
const ATTRIBUTE_TYPE_MASK = 0x3fff;
const align = (length: number) => (length + 3) & ~3;

/** The bytes of a message to the kernel: little-endian, as every processor of a release is. */
export function encodeMessage({ type, flags, body }: Message): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32LE(HEADER_BYTES + body.length, 0);
  header.writeUInt16LE(type, 4);
  header.writeUInt16LE(flags, 6);
  header.writeUInt32LE(1, 8); // sequence number: there is one request to a socket
  return Buffer.concat([header, body]);
}

/** The messages of an answer. Throws RangeError when the bytes are none. */
export function decodeMessages(bytes: Buffer): readonly Message[] {
  const messages: Message[] = [];
  let at = 0;
  while (at < bytes.length) {
    const length = bytes.length - at < HEADER_BYTES ? 0 : bytes.readUInt32LE(at);
    if (length < HEADER_BYTES || length > bytes.length - at)
      throw new RangeError(`Cannot read netlink message: ${bytes.length - at} bytes are left for ${length}`);
    const body = bytes.subarray(at + HEADER_BYTES, at + length);
    messages.push({ type: bytes.readUInt16LE(at + 4), flags: bytes.readUInt16LE(at + 6), body });
    at += align(length);
  }
  return messages;
}

export function encodeAttributes(attributes: readonly Attribute[]): Buffer {
  return Buffer.concat(
    attributes.map(([type, value]) => {
      const bytes = Buffer.alloc(align(ATTRIBUTE_HEADER_BYTES + value.length));
      bytes.writeUInt16LE(ATTRIBUTE_HEADER_BYTES + value.length, 0);
      bytes.writeUInt16LE(type, 2);
      bytes.set(value, ATTRIBUTE_HEADER_BYTES);
      return bytes;
    }),
  );
}

/** Attributes by type; of several with one type the last. Throws RangeError when the bytes are none. */
export function decodeAttributes(bytes: Buffer): ReadonlyMap<number, Buffer> {
  const attributes = new Map<number, Buffer>();
  let at = 0;
  while (bytes.length - at >= ATTRIBUTE_HEADER_BYTES) {
    const length = bytes.readUInt16LE(at);
    if (length < ATTRIBUTE_HEADER_BYTES || length > bytes.length - at)
      throw new RangeError(`Cannot read netlink attribute: ${bytes.length - at} bytes are left for ${length}`);
    const type = bytes.readUInt16LE(at + 2) & ATTRIBUTE_TYPE_MASK;
    attributes.set(type, bytes.subarray(at + ATTRIBUTE_HEADER_BYTES, at + length));
    at += align(length);
  }
  return attributes;
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

/** In network byte order, as ports are. */
export function uint16Network(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

/** A text with the terminator that the kernel wants. */
export function cString(text: string): Buffer {
  return Buffer.from(`${text}\0`);
}

export function readCString(bytes: Uint8Array | undefined): string {
  return Buffer.from(bytes ?? [])
    .toString()
    .replace(/\0.*$/s, "");
}

/** AF_INET, AF_INET6 and AF_BRIDGE of the C library. */
export const ADDRESS_FAMILY = { 4: 2, 6: 10, bridge: 7 } as const;

/** `aa:bb:cc:dd:ee:ff` of six bytes. */
export function formatMac(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join(":");
}

export function macBytes(mac: string): Buffer {
  return Buffer.from(mac.replaceAll(":", ""), "hex");
}
