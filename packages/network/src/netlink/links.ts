import { addressBytes, formatAddress, type Family } from "../address.ts";
import {
  cString,
  decodeAttributes,
  encodeAttributes,
  formatMac,
  macBytes,
  MessageType,
  Flag,
  readCString,
  uint16Network,
  uint32,
  type Attribute,
  type Message,
} from "./message.ts";

/** A network interface. */
export interface Link {
  readonly index: number;
  readonly name: string;
  readonly mtu: number;
  readonly isUp: boolean;
  /** `aa:bb:cc:dd:ee:ff`; empty for an interface without one. */
  readonly mac: string;
  /** What the interface is, for instance `vxlan`; empty for hardware and other interfaces that say nothing. */
  readonly kind: string;
  readonly vxlan?: VxlanSettings;
}

interface VxlanSettings {
  readonly vni: number;
  /** UDP port of the peers. */
  readonly port: number;
  /** Own address on the outside. */
  readonly local: string;
  /** Index of the interface that carries the packets; 0: by the routing table. */
  readonly link: number;
  readonly isLearning: boolean;
}

/** A vxlan interface to be made; it is down then. */
export interface NewVxlan {
  readonly name: string;
  readonly mtu: number;
  readonly mac: string;
  readonly vxlan: VxlanSettings;
}

// linux/if_link.h
const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_LINKINFO = 18;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const VXLAN = { id: 1, link: 3, learning: 7, port: 15, local: { 4: 4, 6: 17 } } as const;
/** `struct ifinfomsg`: family, padding, type, index, flags, mask of flags to change. */
const LINK_HEADER_BYTES = 16;
const IFF_UP = 0x1;
/** Linux' own default, older than the port that IANA gave; every flannel listens there. */
export const VXLAN_PORT = 8472;

interface LinkHeader {
  readonly index?: number;
  readonly flags?: number;
  readonly change?: number;
}

function encodeLink(header: LinkHeader, attributes: readonly Attribute[]): Buffer {
  const bytes = Buffer.alloc(LINK_HEADER_BYTES);
  bytes.writeInt32LE(header.index ?? 0, 4);
  bytes.writeUInt32LE(header.flags ?? 0, 8);
  bytes.writeUInt32LE(header.change ?? 0, 12);
  return Buffer.concat([bytes, encodeAttributes(attributes)]);
}

export function listLinks(): Message {
  return { type: MessageType.getLink, flags: Flag.dump, body: encodeLink({}, []) };
}

export function createVxlan({ name, mtu, mac, vxlan }: NewVxlan): Message {
  const local = addressBytes(vxlan.local);
  const family: Family = local.length === 4 ? 4 : 6;
  const data: readonly Attribute[] = [
    [VXLAN.id, uint32(vxlan.vni)],
    [VXLAN.link, uint32(vxlan.link)],
    [VXLAN.local[family], local],
    [VXLAN.learning, Buffer.of(vxlan.isLearning ? 1 : 0)],
    [VXLAN.port, uint16Network(vxlan.port)],
  ];
  const info: readonly Attribute[] = [
    [IFLA_INFO_KIND, cString("vxlan")],
    [IFLA_INFO_DATA, encodeAttributes(data)],
  ];
  const body = encodeLink({}, [
    [IFLA_IFNAME, cString(name)],
    [IFLA_MTU, uint32(mtu)],
    [IFLA_ADDRESS, macBytes(mac)],
    [IFLA_LINKINFO, encodeAttributes(info)],
  ]);
  return { type: MessageType.newLink, flags: Flag.create | Flag.exclusive, body };
}

export function bringUp(index: number): Message {
  return { type: MessageType.newLink, flags: 0, body: encodeLink({ index, flags: IFF_UP, change: IFF_UP }, []) };
}

/** Sets the MTU of an interface. */
export function changeMtu(index: number, mtu: number): Message {
  return { type: MessageType.newLink, flags: 0, body: encodeLink({ index }, [[IFLA_MTU, uint32(mtu)]]) };
}

export function deleteLink(index: number): Message {
  return { type: MessageType.deleteLink, flags: 0, body: encodeLink({ index }, []) };
}

/** Undefined for a message about something else. */
export function decodeLink({ type, body }: Message): Link | undefined {
  if (type !== MessageType.newLink || body.length < LINK_HEADER_BYTES) return undefined;
  const attributes = decodeAttributes(body.subarray(LINK_HEADER_BYTES));
  const info = decodeAttributes(attributes.get(IFLA_LINKINFO) ?? Buffer.alloc(0));
  const kind = readCString(info.get(IFLA_INFO_KIND));
  return {
    index: body.readInt32LE(4),
    name: readCString(attributes.get(IFLA_IFNAME)),
    mtu: attributes.get(IFLA_MTU)?.readUInt32LE() ?? 0,
    isUp: (body.readUInt32LE(8) & IFF_UP) !== 0,
    mac: formatMac(attributes.get(IFLA_ADDRESS) ?? Buffer.alloc(0)),
    kind,
    ...(kind === "vxlan" ? { vxlan: decodeVxlan(info.get(IFLA_INFO_DATA) ?? Buffer.alloc(0)) } : {}),
  };
}

function decodeVxlan(bytes: Buffer): VxlanSettings {
  const attributes = decodeAttributes(bytes);
  const local = attributes.get(VXLAN.local[4]) ?? attributes.get(VXLAN.local[6]);
  return {
    vni: attributes.get(VXLAN.id)?.readUInt32LE() ?? 0,
    port: attributes.get(VXLAN.port)?.readUInt16BE() ?? 0,
    local: local === undefined ? "" : formatAddress(local),
    link: attributes.get(VXLAN.link)?.readUInt32LE() ?? 0,
    isLearning: attributes.get(VXLAN.learning)?.readUInt8() !== 0,
  };
}
