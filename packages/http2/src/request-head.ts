import type { HeaderField } from "./hpack/header-field.ts";

/** The header section of a request. */
export interface RequestHead {
  readonly method: string;
  /** As the client wrote it: any text at all, or none. Nothing here depends on it. */
  readonly authority: string | undefined;
  readonly scheme: string;
  readonly path: string;
  /** Everything but the pseudo-header fields, in the order of arrival. */
  readonly fields: readonly HeaderField[];
}

const COLON = 0x3a;

/** Undefined for a malformed request (RFC 9113 sections 8.2 and 8.3), except that `:authority` is not looked at. */
export function parseRequestHead(all: readonly HeaderField[]): RequestHead | undefined {
  const pseudo: Pseudo = { method: undefined, scheme: undefined, path: undefined, authority: undefined };
  let regular = 0;
  while (regular < all.length && all[regular]?.name.charCodeAt(0) === COLON) {
    const field = all[regular++];
    if (field === undefined || field.isMalformed || !takePseudo(pseudo, field)) return undefined;
  }
  const { method, scheme, path, authority } = pseudo;
  if (method === undefined || scheme === undefined || path === undefined || path === "") return undefined;
  const fields = all.slice(regular);
  return areRegular(fields) ? { method, scheme, path, authority, fields } : undefined;
}

/** Whether the fields may form trailers, or the rest of a header section behind its pseudo-header fields. */
export function areRegular(fields: readonly HeaderField[]): boolean {
  for (const field of fields) if (field.isMalformed || field.name.charCodeAt(0) === COLON) return false;
  return true;
}

/** The value of the first field `name`. */
export function findHeader(fields: readonly HeaderField[], name: string): string | undefined {
  for (const field of fields) if (field.name === name) return field.value;
  return undefined;
}

/** -1 without the field, NaN when it is no length. */
export function contentLength(fields: readonly HeaderField[]): number {
  const text = findHeader(fields, "content-length");
  if (text === undefined) return -1;
  return /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
}

interface Pseudo {
  method: string | undefined;
  scheme: string | undefined;
  path: string | undefined;
  authority: string | undefined;
}

/** False for a field that is unknown or there already. */
function takePseudo(pseudo: Pseudo, { name, value }: HeaderField): boolean {
  const key = pseudoKey(name);
  if (key === undefined || pseudo[key] !== undefined) return false;
  pseudo[key] = value;
  return true;
}

function pseudoKey(name: string): keyof Pseudo | undefined {
  switch (name) {
    case ":method":
      return "method";
    case ":scheme":
      return "scheme";
    case ":path":
      return "path";
    case ":authority":
      return "authority";
    default:
      return undefined;
  }
}
