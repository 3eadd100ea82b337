import { REDACTED } from "./redact.ts";

const WORDS = "pass|pwd|token|secret|crypt|auth";
/** Of Go's driver for MySQL: they say which kinds of password may be used. */
const SWITCHES = "allow(?:cleartext|native|old)passwords";
const SECRET_NAME = new RegExp(`^(?!${SWITCHES}$).*(?:${WORDS})`, "i");
const NAME = String.raw`(?!${SWITCHES}\s*=)[\w.$@%-]*(?:${WORDS})[\w.$@%-]*`;
const PARAMETER = new RegExp(`[?&](?!${SWITCHES}=)[^=&?]*(?:${WORDS})[^=&?]*=([^&]*)`, "dgi");
/** As in libpq's form `host=h password=x`. A blank may be a part of what follows, so nothing ends it. */
const WORD = new RegExp(String.raw`(?:^|[\s;,/])${NAME}\s*=([^]*)`, "di");
const WORD_OR_PARAMETER = new RegExp(String.raw`(?:^|[\s;,/?&])${NAME}\s*=([^]*)`, "di");
/** One that is misspelt or doubled counts as well. */
const SCHEME = /^:*[^:@]*:\/\/(?::?\/\/)*/;
const FILE_SCHEME = /^(?:sqlite|litestream):\/\//;
/** A user name and a colon; what follows is no port: digits are one only if nothing else follows them. */
const BARE_PASSWORD = /^[\w.-]+:(?!\d+(?:[/?,]|$))/;

/** Where in a text something stands that is not shown. */
export type Span = readonly [start: number, end: number];

export interface HideOptions {
  /** What stands in place of a secret. */
  readonly mask?: string;
  /** Whether a password can be one of its parameters, which then ends at the next. Default true; if not, nothing ends it. */
  readonly hasSecretParameters?: boolean;
  /** Finds the passwords that no name stands in front of. Default: {@link findCredentials}. */
  readonly find?: (endpoint: string) => readonly Span[];
}

/**
 * An endpoint as it may be shown. Passwords of every form of endpoint are hidden, also where the form is broken: what stands in place
 * of user and password, and whatever is named like a secret. It may hide more than the password, never less.
 */
export function hideSecrets(endpoint: string, options: HideOptions = {}): string {
  const { mask = REDACTED, hasSecretParameters = true, find = findCredentials } = options;
  const spans = [...find(endpoint), ...namedSpans(endpoint, hasSecretParameters)].sort(([a], [b]) => a - b);
  let result = "";
  let shown = 0;
  for (const [start, end] of spans) {
    if (end <= shown) continue;
    result += `${endpoint.slice(shown, Math.max(start, shown))}${start < shown ? "" : mask}`;
    shown = end;
  }
  return result + endpoint.slice(shown);
}

/** Whether a parameter of this name is taken for a secret. */
export function isSecretName(name: string): boolean {
  return SECRET_NAME.test(name);
}

/** All between the user name and the last `@`, because a MySQL password may hold any sign; without one, what follows a colon and is no port. */
export function findCredentials(endpoint: string): readonly Span[] {
  if (FILE_SCHEME.test(endpoint)) return [];
  const start = endSchemeAt(endpoint);
  const rest = endpoint.slice(start);
  const at = rest.lastIndexOf("@");
  const end = at === -1 ? rest.length : at;
  if (at === -1 && !BARE_PASSWORD.test(rest)) return [];
  // Without a colon it may be a token as well as a user.
  const user = /^[\w.-]+:(?!\/\/)/.exec(rest.slice(0, end))?.[0] ?? "";
  return [[start + user.length, start + end]];
}

/** Where the scheme of an endpoint ends, 0 without one. */
export function endSchemeAt(endpoint: string): number {
  return SCHEME.exec(endpoint)?.[0].length ?? 0;
}

function namedSpans(endpoint: string, hasSecretParameters: boolean): readonly Span[] {
  const words = FILE_SCHEME.test(endpoint) ? [] : [(hasSecretParameters ? WORD : WORD_OR_PARAMETER).exec(endpoint)];
  const parameters = hasSecretParameters ? endpoint.matchAll(PARAMETER) : [];
  return [...parameters, ...words].flatMap((found) =>
    found === null ? [] : [found.indices?.[1] ?? [0, endpoint.length]],
  );
}
