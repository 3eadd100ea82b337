import type { Identity } from "./identity.ts";
import { headerPairs, headerTokens, headerValue, headerValues, type RawHeaders } from "./raw-headers.ts";

export interface ForwardingFacts {
  readonly method: string;
  /** Who the client is; undefined leaves it to kube-apiserver to find out. */
  readonly identity: Identity | undefined;
  readonly clientAddress: string;
  readonly hasBody: boolean;
  readonly expectsContinue: boolean;
  /** The protocol to switch to, for an upgrade. */
  readonly upgrade?: string;
}

/** Concern one connection only (RFC 9110, 7.6.1), or are set anew by the proxy. */
const REPLACED = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "proxy-authenticate",
  "proxy-authorization",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "expect",
  "content-length",
  "x-forwarded-for",
]);
const USUALLY_EMPTY = new Set(["GET", "HEAD", "DELETE", "OPTIONS", "TRACE", "CONNECT"]);
const HOP_BY_HOP = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "proxy-authenticate",
  "te",
  "transfer-encoding",
  "upgrade",
]);

/** The head to send to kube-apiserver: the client's own, without what only the front proxy may say. */
export function forwardedHeaders(headers: RawHeaders, facts: ForwardingFacts): string[] {
  const nominated = new Set(headerTokens(headers, "connection"));
  const out: string[] = [];
  for (const [name, value] of headerPairs(headers)) {
    const key = name.toLowerCase();
    if (!REPLACED.has(key) && !isIdentityHeader(key) && (key === "host" || !nominated.has(key))) out.push(name, value);
  }
  if (headerTokens(headers, "te").includes("trailers")) out.push("Te", "trailers");
  out.push("X-Forwarded-For", [...headerValues(headers, "x-forwarded-for"), facts.clientAddress].join(", "));
  out.push(...framing(headers, facts), ...identityHeaders(facts.identity));
  return out;
}

/** The head to send to the client: kube-apiserver's own, without what concerns the connection to it. */
export function returnedHeaders(headers: RawHeaders): string[] {
  const nominated = new Set(headerTokens(headers, "connection"));
  const out: string[] = [];
  for (const [name, value] of headerPairs(headers)) {
    const key = name.toLowerCase();
    if (!HOP_BY_HOP.has(key) && !nominated.has(key)) out.push(name, value);
  }
  return out;
}

/** Any spelling that some server could take for one of the front proxy's headers. */
function isIdentityHeader(name: string): boolean {
  return name.replace(/[^a-z0-9]/g, "").startsWith("xremote");
}

function framing(headers: RawHeaders, facts: ForwardingFacts): string[] {
  const out = facts.upgrade === undefined ? [] : ["Connection", "Upgrade", "Upgrade", facts.upgrade];
  const length = headerValue(headers, "content-length");
  const isChunked = headerValues(headers, "transfer-encoding").length > 0;
  if (length !== undefined && !isChunked) out.push("Content-Length", length);
  else if (facts.hasBody) out.push("Transfer-Encoding", "chunked");
  // Said aloud, as Node would otherwise announce chunks: to a switched protocol their end is garbage.
  else if (!USUALLY_EMPTY.has(facts.method)) out.push("Content-Length", "0");
  if (facts.expectsContinue) out.push("Expect", "100-continue");
  return out;
}

/** X-Remote-User and -Group as kube-apiserver's requestheader authenticator reads them: UTF-8 bytes, one line per group. */
function identityHeaders(identity: Identity | undefined): string[] {
  if (identity === undefined) return [];
  const groups = identity.groups.flatMap((group) => ["X-Remote-Group", utf8(group)]);
  return ["X-Remote-User", utf8(identity.name), ...groups];
}

/** Header strings are latin1 to Node: one character per byte. */
function utf8(text: string): string {
  return Buffer.from(text, "utf8").toString("latin1");
}
