import { createHash } from "node:crypto";
import { TokenError } from "./errors.ts";

/** Who a token says one is: a user with a password, or the id and secret of a bootstrap token. */
export type Credentials =
  | { readonly kind: "user"; readonly user: string; readonly password: string }
  | { readonly kind: "bootstrap"; readonly id: string; readonly secret: string };

/** A token taken apart. */
export interface Token {
  /** Lower-case hex SHA-256 of the cluster CA, or empty when the token does not say which cluster it is for. */
  readonly caHash: string;
  readonly credentials: Credentials;
}

const PREFIX = "K10";
const HASH_LENGTH = 64;
const BOOTSTRAP = /^([a-z0-9]{6})\.([a-z0-9]{16})$/;

/** Reads a token in any of its forms. Throws TokenError with upstream's words. */
export function parseToken(text: string): Token {
  if (text === "") throw TokenError.empty();
  const full = text.startsWith(PREFIX) ? text : `${PREFIX}${BOOTSTRAP.test(text) ? "::" : ":::"}${text}`;
  const [caHash, credentials] = splitHash(full.slice(PREFIX.length));
  if (caHash.length !== 0 && caHash.length !== HASH_LENGTH) throw TokenError.hashLength(caHash.length);
  return { caHash, credentials: parseCredentials(credentials) };
}

/** Writes a token for the cluster with this CA hash; empty credentials give an empty string. */
export function formatToken(caHash: string, credentials: string): string {
  return credentials === "" ? "" : `${PREFIX}${caHash}::${credentials}`;
}

/** The part of a token after `::`. */
export function formatCredentials(credentials: Credentials): string {
  if (credentials.kind === "bootstrap") return `${credentials.id}.${credentials.secret}`;
  return `${credentials.user}:${credentials.password}`;
}

/** The password inside a server's token. Throws TokenError for anything else, bootstrap tokens too. */
export function normalizeToken(text: string): string {
  let parsed: Token;
  try {
    parsed = parseToken(text);
  } catch (error) {
    throw TokenError.notForServers(error);
  }
  if (parsed.credentials.kind === "bootstrap") throw TokenError.notForServers();
  return parsed.credentials.password;
}

/** The first 12 hex digits of SHA-256: names a token in snapshots and in the datastore without revealing it. */
export function tokenHash(normalizedToken: string): string {
  return createHash("sha256").update(normalizedToken).digest("hex").slice(0, 12);
}

/** The Authorization header for these credentials; undefined when there is no user. */
export function authorizationHeader(credentials: Credentials): string | undefined {
  if (credentials.kind === "bootstrap") return `Bearer ${formatCredentials(credentials)}`;
  if (credentials.user === "") return undefined;
  return `Basic ${Buffer.from(formatCredentials(credentials)).toString("base64")}`;
}

/** The same token for another user; bootstrap tokens have none and stay as they are. */
export function withUser(token: Token, user: string): Token {
  if (token.credentials.kind === "bootstrap") return token;
  return { ...token, credentials: { ...token.credentials, user } };
}

/** The URL of a server without slashes at its end. Throws TokenError unless it is https. */
export function parseServerUrl(text: string): URL {
  if (!URL.canParse(text)) throw TokenError.serverUrl(withoutUserInfo(text));
  const url = new URL(text);
  if (url.protocol !== "https:") throw TokenError.serverUrl(withoutUserInfo(text));
  url.pathname = url.pathname.replace(/\/+$/, "");
  return url;
}

function splitHash(rest: string): readonly [string, string] {
  const at = rest.indexOf("::");
  return at === -1 ? ["", rest] : [rest.slice(0, at), rest.slice(at + 2)];
}

function parseCredentials(text: string): Credentials {
  const [, id, secret] = BOOTSTRAP.exec(text) ?? [];
  if (id !== undefined && secret !== undefined) return { kind: "bootstrap", id, secret };
  const at = text.indexOf(":");
  if (at === -1 || at === text.length - 1) throw TokenError.format();
  return { kind: "user", user: text.slice(0, at), password: text.slice(at + 1) };
}

function withoutUserInfo(url: string): string {
  return url.replace(/\/\/[^/]*@/, "//");
}
