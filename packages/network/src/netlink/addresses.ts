import { addressBytes, familyOf, formatAddress, type Family } from "../address.ts";
import { ADDRESS_FAMILY, decodeAttributes, encodeAttributes, Flag, MessageType, type Message } from "./message.ts";

/** An address of an interface. */
export interface InterfaceAddress {
  readonly link: number;
  readonly address: string;
  readonly length: number;
  /** False for addresses that only mean something on the machine or on one wire. */
  readonly isGlobal: boolean;
}

// linux/if_addr.h
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const RT_SCOPE_UNIVERSE = 0;
/** `struct ifaddrmsg`: family, length, flags, scope, index. */
const HEADER_BYTES = 8;

export function listAddresses(family: Family): Message {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt8(ADDRESS_FAMILY[family], 0);
  return { type: MessageType.getAddress, flags: Flag.dump, body: header };
}

export function setAddress(entry: InterfaceAddress): Message {
  return { type: MessageType.newAddress, flags: Flag.create | Flag.replace, body: encode(entry) };
}

export function deleteAddress(entry: InterfaceAddress): Message {
  return { type: MessageType.deleteAddress, flags: 0, body: encode(entry) };
}

function encode({ link, address, length }: InterfaceAddress): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt8(ADDRESS_FAMILY[familyOf(address)], 0);
  header.writeUInt8(length, 1);
  header.writeUInt32LE(link, 4);
  const bytes = addressBytes(address);
  return Buffer.concat([
    header,
    encodeAttributes([
      [IFA_LOCAL, bytes],
      [IFA_ADDRESS, bytes],
    ]),
  ]);
}

/** Undefined for a message about something else. */
export function decodeAddress({ type, body }: Message): InterfaceAddress | undefined {
  if (type !== MessageType.newAddress || body.length < HEADER_BYTES) return undefined;
  const attributes = decodeAttributes(body.subarray(HEADER_BYTES));
  // On a point-to-point interface IFA_ADDRESS is the other end's; IPv6 has only that one.
  const bytes = attributes.get(IFA_LOCAL) ?? attributes.get(IFA_ADDRESS);
  if (bytes === undefined) return undefined;
  return {
    link: body.readUInt32LE(4),
    address: formatAddress(bytes),
    length: body.readUInt8(1),
    isGlobal: body.readUInt8(3) === RT_SCOPE_UNIVERSE,
  };
}
