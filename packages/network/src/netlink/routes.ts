import { addressBytes, formatAddress, parseRange, type Family, type Range } from "../address.ts";
import {
  ADDRESS_FAMILY,
  decodeAttributes,
  encodeAttributes,
  Flag,
  MessageType,
  uint32,
  type Message,
} from "./message.ts";

/** A route of the main table to `destination`, an `address/length`. */
export interface Route {
  readonly destination: string;
  /** Empty: the destination is reached directly. */
  readonly gateway: string;
  /** Index of the interface. */
  readonly link: number;
  /** The gateway is behind the interface although no address says so. */
  readonly isOnlink: boolean;
  /** Who made it, by linux/rtnetlink.h: 2 the kernel, 3 a program that did not say, 4 the administrator. */
  readonly protocol: number;
  readonly metric: number;
}

// linux/rtnetlink.h
const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_PRIORITY = 6;
const RTA_TABLE = 15;
const RTNH_F_ONLINK = 4;
const RT_TABLE_MAIN = 254;
const RTN_UNICAST = 1;
/** `RTPROT_BOOT`: flannel's routes have it. */
export const PROTOCOL_BOOT = 3;
/** `struct rtmsg`: family, two lengths, tos, table, protocol, scope, type, flags. */
const HEADER_BYTES = 12;

export function listRoutes(family: Family): Message {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt8(ADDRESS_FAMILY[family], 0);
  return { type: MessageType.getRoute, flags: Flag.dump, body: header };
}

export function setRoute(route: Route): Message {
  return { type: MessageType.newRoute, flags: Flag.create | Flag.replace, body: encode(route) };
}

export function deleteRoute(route: Route): Message {
  return { type: MessageType.deleteRoute, flags: 0, body: encode(route) };
}

function encode(route: Route): Buffer {
  const destination = destinationOf(route);
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt8(ADDRESS_FAMILY[destination.family], 0);
  header.writeUInt8(destination.length, 1);
  header.writeUInt8(RT_TABLE_MAIN, 4);
  header.writeUInt8(route.protocol, 5);
  header.writeUInt8(RTN_UNICAST, 7);
  header.writeUInt32LE(route.isOnlink ? RTNH_F_ONLINK : 0, 8);
  return Buffer.concat([
    header,
    encodeAttributes([
      [RTA_DST, addressBytes(destination.address)],
      ...(route.gateway === "" ? [] : [[RTA_GATEWAY, addressBytes(route.gateway)] as const]),
      [RTA_OIF, uint32(route.link)],
      ...(route.metric === 0 ? [] : [[RTA_PRIORITY, uint32(route.metric)] as const]),
    ]),
  ]);
}

function destinationOf({ destination }: Route): Range {
  const range = parseRange(destination);
  if (range === undefined) throw new RangeError(`Cannot make a route to "${destination}": it is no range`);
  return range;
}

/** Undefined for a message about something else, and for a route of another table or kind. */
export function decodeRoute({ type, body }: Message): Route | undefined {
  if (type !== MessageType.newRoute || body.length < HEADER_BYTES || body.readUInt8(7) !== RTN_UNICAST)
    return undefined;
  const attributes = decodeAttributes(body.subarray(HEADER_BYTES));
  const table = readUint32(attributes.get(RTA_TABLE)) ?? body.readUInt8(4);
  const link = readUint32(attributes.get(RTA_OIF));
  if (table !== RT_TABLE_MAIN || link === undefined) return undefined;
  const any = Buffer.alloc(body.readUInt8(0) === ADDRESS_FAMILY[4] ? 4 : 16);
  const gateway = attributes.get(RTA_GATEWAY);
  return {
    destination: `${formatAddress(attributes.get(RTA_DST) ?? any)}/${body.readUInt8(1)}`,
    gateway: gateway === undefined ? "" : formatAddress(gateway),
    link,
    isOnlink: (body.readUInt32LE(8) & RTNH_F_ONLINK) !== 0,
    protocol: body.readUInt8(5),
    metric: readUint32(attributes.get(RTA_PRIORITY)) ?? 0,
  };
}

function readUint32(bytes: Buffer | undefined): number | undefined {
  return bytes?.readUInt32LE();
}
