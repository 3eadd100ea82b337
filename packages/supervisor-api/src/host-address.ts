import { isIP } from "node:net";
import { headerValue, headerValues, type RawHeaders } from "./raw-headers.ts";

/**
 * The address a client believes it talks to, from the Host header. Only IP addresses count, and browsers do not:
 * a page can send them anywhere.
 */
export function hostAddress(headers: RawHeaders): string | undefined {
  const agents = headerValues(headers, "user-agent");
  if (agents.some((agent) => agent.toLowerCase().includes("mozilla"))) return undefined;
  const host = headerValue(headers, "host") ?? "";
  const address = /^\[(.*)\](:\d+)?$/.exec(host)?.[1] ?? (isIP(host) === 6 ? host : host.replace(/:\d+$/, ""));
  return isIP(address) === 0 ? undefined : address;
}
