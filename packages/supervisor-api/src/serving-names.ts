import { isIP } from "node:net";
import { headerValue, headerValues, type RawHeaders } from "./raw-headers.ts";

/** What may stand in a serving certificate (dynamiclistener's rule, without its wildcards: those are configured). */
const ALLOWED = /^([A-Za-z0-9:][-A-Za-z0-9_.:]*)?[A-Za-z0-9:]$/;
const NAME_LENGTH_MAX = 253;

/** The name, when clients may have it added to the certificate. */
export function servingName(name: string): string | undefined {
  return name.length <= NAME_LENGTH_MAX && ALLOWED.test(name) ? name : undefined;
}

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
