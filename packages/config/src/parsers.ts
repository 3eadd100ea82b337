import { normalize } from "node:path/posix";
import { parseAddress, parseCidr, type Address, type Cidr } from "./ip.ts";

// Every parser here throws RangeError with the end of a sentence that begins with the name of the setting.

function refuse(rule: string, text: string): never {
  throw new RangeError(text === "" ? `${rule}: it is empty` : `${rule}: current value is "${text}"`);
}

export function parsePort(text: string): number {
  const value = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  return value >= 1 && value <= 65_535 ? value : refuse("must be a port from 1 to 65535", text);
}

export function parseCount(text: string): number {
  return /^\d{1,4}$/.test(text) ? Number(text) : refuse("must be a whole number from 0 to 9999", text);
}

export function parseText(text: string): string {
  return text === "" ? refuse("must not be empty", text) : text;
}

export function parsePath(text: string): string {
  return text.startsWith("/") ? text.replace(/(?<=.)\/+$/, "") : refuse("must be an absolute path", text);
}

// Their content is not ours to remove or to lock; what is inside them may be.
const SYSTEM_FOLDERS = new Set([
  ...["/", "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib32", "/lib64", "/libx32", "/media", "/mnt", "/opt"],
  ...["/proc", "/root", "/run", "/sbin", "/srv", "/sys", "/tmp", "/usr", "/var"],
  ...["/usr/bin", "/usr/lib", "/usr/lib64", "/usr/libexec", "/usr/local", "/usr/sbin", "/usr/share"],
  ...["/var/cache", "/var/lib", "/var/log", "/var/run", "/var/spool", "/var/tmp"],
]);

/** A folder of which everything may be ours: none of the system. install.sh has the same list. */
export function parseOwnFolder(text: string): string {
  const path = parsePath(text);
  return SYSTEM_FOLDERS.has(parsePath(normalize(path)))
    ? refuse("must be a folder of its own, such as /srv/k3s", text)
    : path;
}

/** A file, or an address to fetch it from. */
export function parseSource(text: string): string {
  return /^https?:\/\//.test(text) ? text : parsePath(text);
}

/** 0.0.0.0 and :: are fine here: they mean every address. */
export function parseBindAddress(text: string): Address {
  return parseAddress(text) ?? refuse("must be an IP address", text);
}

// Ranges that can never name a node from outside: unspecified, loopback, link-local, multicast.
const UNREACHABLE = ["0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "::/127", "fe80::/10", "ff00::/8"];

/** An address under which other machines or pods can reach this node. */
export function parseNodeAddress(text: string): Address {
  const address = parseAddress(text) ?? refuse("must be an IP address", text);
  const range = UNREACHABLE.find((cidr) => isWithin(address, cidr));
  return range === undefined ? address : refuse(`must be an address others can reach, not one of ${range}`, text);
}

function isWithin(address: Address, text: string): boolean {
  const range = parseCidr(text);
  if (range?.family !== address.family) return false;
  const hostBits = BigInt((range.family === 4 ? 32 : 128) - range.prefixLength);
  return address.value >> hostBits === range.first >> hostBits;
}

export function parseRange(text: string): Cidr {
  return parseCidr(text) ?? refuse("must be a CIDR such as 10.42.0.0/16", text);
}

/** First and last port, `30000-32767`, or with a length, `30000+100`. */
export function parsePortRange(text: string): string {
  const match = /^(\d+)([-+])(\d+)$/.exec(text);
  const first = Number(match?.[1]);
  const last = match?.[2] === "+" ? first + Number(match[3]) : Number(match?.[3]);
  const isValid = first >= 1 && last >= first && last <= 65_535;
  return isValid ? `${first}-${last}` : refuse("must be a range of ports such as 30000-32767", text);
}

const DNS_LABEL = "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?";
const DNS_NAME = new RegExp(`^${DNS_LABEL}([.]${DNS_LABEL})*$`);

/** Whether the text is a name by RFC 1123, of at most `limit` characters. */
export function isDnsName(text: string, limit = 253): boolean {
  return text.length <= limit && DNS_NAME.test(text);
}

/** Lower-cased as the kubelet does. 63 is the limit of the label `kubernetes.io/hostname`. */
export function parseNodeName(text: string): string {
  const name = text.toLowerCase();
  if (isDnsName(name, 63)) return name;
  return refuse("must be a DNS-1123 name of letters, digits, dots and dashes, at most 63 characters", text);
}

export function parseDomain(text: string): string {
  return isDnsName(text) ? text : refuse("must be a domain such as cluster.local", text);
}

/** What a certificate can name: an address, a host name, or a wildcard for one label. */
export function parseSan(text: string): string {
  const isName = /^(\*\.)?([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)$/.test(text) && text.length <= 253;
  if (parseAddress(text) !== undefined || (isName && !looksLikeAddress(text))) return text;
  return refuse("must be an IP address or a host name", text);
}

function looksLikeAddress(text: string): boolean {
  return /^[0-9.]+$/.test(text);
}

export function parseFileMode(text: string): number {
  const mode = /^(0o?)?[0-7]{3}$/.test(text) ? Number.parseInt(text.replace("o", ""), 8) : -1;
  return mode >= 0 ? mode : refuse("must be an octal file mode such as 0600", text);
}

/** `name`, `name=value`, `name+=value` or `name-=value`; leading dashes are dropped. */
export function parseComponentArgument(text: string): string {
  const argument = text.replace(/^--?(?=\w)/, "");
  return /^[A-Za-z0-9][-A-Za-z0-9_.]*([-+]?=.*)?$/s.test(argument)
    ? argument
    : refuse("must be an argument without dashes such as v=4", text);
}

/** One of the texts, as it is. */
export function oneOf<const T extends string>(...values: readonly T[]): (text: string) => T {
  return (text) =>
    values.find((value) => value === text) ?? refuse(`must be ${values.map((v) => `"${v}"`).join(" or ")}`, text);
}

/** `none`, `vxlan`, …; those that exist in k3s but not here get an answer of their own. */
export function oneOfServed<const T extends string>(
  served: readonly T[],
  known: readonly string[],
): (text: string) => T {
  const parse = oneOf(...served);
  return (text) =>
    known.includes(text)
      ? refuse(`must be ${served.map((v) => `"${v}"`).join(" or ")} in this version`, text)
      : parse(text);
}

/** Host and repository in lower case, then a tag or a digest, or neither. */
export function parseImage(text: string): string {
  const isImage = /^[a-z0-9][a-z0-9._\-/:]*(@sha256:[0-9a-f]{64})?$/i.test(text) && !/\s|\/\/|\/$|:$/.test(text);
  return isImage ? text : refuse("must be an image reference", text);
}
