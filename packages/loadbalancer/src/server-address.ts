import { isIP } from "node:net";
import { LoadBalancerError } from "./errors.ts";

/** A server URL taken apart. */
export interface ServerUrl {
  /** With colon, as in `https:`. */
  readonly scheme: string;
  /** `host:port`, the port of the scheme when the URL has none. */
  readonly address: string;
}

export interface HostPort {
  /** Without brackets. */
  readonly host: string;
  readonly port: number;
}

/** Throws LoadBalancerError when the text names no server. */
export function parseServerUrl(text: string): ServerUrl {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !["https:", "http:"].includes(url.protocol) || url.hostname === "")
    throw LoadBalancerError.invalidServerUrl(text);
  const port = url.port === "" ? defaultPort(url.protocol) : url.port;
  return { scheme: url.protocol, address: `${url.hostname}:${port}` };
}

export function formatServerUrl({ scheme, address }: ServerUrl): string {
  return `${scheme}//${address}`;
}

/** Undefined when the text is no `host:port`; an IPv6 address needs brackets. */
export function parseAddress(text: string): HostPort | undefined {
  const match = /^(?:\[([^\]]+)\]|([^\s[\]:/@]+)):([0-9]{1,5})$/.exec(text);
  const [, ipv6, name, digits] = match ?? [];
  const host = ipv6 ?? name;
  const port = Number(digits);
  if (host === undefined || port < 1 || port > 65_535) return undefined;
  if (ipv6 !== undefined && isIP(ipv6) !== 6) return undefined;
  return { host, port };
}

export function formatAddress({ host, port }: HostPort): string {
  return isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`;
}

function defaultPort(scheme: string): string {
  return scheme === "https:" ? "443" : "80";
}
