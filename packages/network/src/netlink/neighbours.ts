import { addressBytes, familyOf, formatAddress, type Family } from "../address.ts";
import {
  ADDRESS_FAMILY,
  decodeAttributes,
  encodeAttributes,
  Flag,
  formatMac,
  macBytes,
  MessageType,
  type Attribute,
  type Message,
} from "./message.ts";

/**
 * A permanent entry of an interface: as a neighbour, `address` answers at `mac`; as forwarding of a vxlan interface,
 * frames for `mac` go to the peer at `address`.
 */
export interface Neighbour {
  readonly table: "neighbour" | "forwarding";
  readonly link: number;
  readonly address: string;
  readonly mac: string;
}

// linux/neighbour.h
const NDA_DST = 1;
const NDA_LLADDR = 2;
const NUD_PERMANENT = 0x80;
const NTF_SELF = 0x2;
/** `struct ndmsg`: family, padding, index, state, flags, type. */
const HEADER_BYTES = 12;

export function listNeighbours(family: Family | "bridge"): Message {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt8(ADDRESS_FAMILY[family], 0);
  return { type: MessageType.getNeighbour, flags: Flag.dump, body: header };
}

export function setNeighbour(entry: Neighbour): Message {
  return { type: MessageType.newNeighbour, flags: Flag.create | Flag.replace, body: encode(entry) };
}

export function deleteNeighbour(entry: Neighbour): Message {
  return { type: MessageType.deleteNeighbour, flags: 0, body: encode(entry) };
}

function encode({ table, link, address, mac }: Neighbour): Buffer {
  const isForwarding = table === "forwarding";
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt8(ADDRESS_FAMILY[isForwarding ? "bridge" : familyOf(address)], 0);
  header.writeInt32LE(link, 4);
  header.writeUInt16LE(NUD_PERMANENT, 8);
  header.writeUInt8(isForwarding ? NTF_SELF : 0, 10);
  const attributes: readonly Attribute[] = [
    [NDA_DST, addressBytes(address)],
    [NDA_LLADDR, macBytes(mac)],
  ];
  return Buffer.concat([header, encodeAttributes(attributes)]);
}

/** Undefined for a message about something else, and for an entry that is not permanent or has no address. */
export function decodeNeighbour({ type, body }: Message): Neighbour | undefined {
  if (type !== MessageType.newNeighbour || body.length < HEADER_BYTES) return undefined;
  const attributes = decodeAttributes(body.subarray(HEADER_BYTES));
  const [address, mac] = [attributes.get(NDA_DST), attributes.get(NDA_LLADDR)];
  const isPermanent = (body.readUInt16LE(8) & NUD_PERMANENT) !== 0;
  if (!isPermanent || address === undefined || mac === undefined) return undefined;
  return {
    table: body.readUInt8(0) === ADDRESS_FAMILY.bridge ? "forwarding" : "neighbour",
    link: body.readInt32LE(4),
    address: formatAddress(address),
    mac: formatMac(mac),
  };
}
