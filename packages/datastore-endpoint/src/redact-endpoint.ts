const HIDDEN = "********";
const SECRET_PARAMETER = /[?&][^=&?]*(?:pass|pwd|token|secret|crypt|auth)[^=&?]*=([^&]*)/dgi;
/** As in libpq's form `host=h password=x`. A blank may be a part of what follows, so nothing ends it. */
const SECRET_WORD = /(?:^|[\s;,/])[\w.-]*(?:pass|pwd|token|secret|crypt|auth)[\w.-]*\s*=([^]*)/di;
/** One that is misspelt or doubled counts as well. */
const SCHEME = /^:*[^:@]*:\/\/(?::?\/\/)*/;
const FILE_SCHEME = /^(?:sqlite|litestream):\/\//;
/** A user name and a colon; what follows is no port. */
const BARE_PASSWORD = /^[\w.-]+:(?!\d+(?:[/?,]|$))/;

type Span = readonly [start: number, end: number];

/**
 * The endpoint as it may be shown. Passwords of every form of endpoint are hidden, also where the form is broken: all
 * between the user name and the last `@` goes, because a MySQL password may hold any sign, and so do parameters that are
 * named like a secret. It may hide more than the password, never less.
 */
export function redactEndpoint(endpoint: string): string {
  const spans = [...credentialSpans(endpoint), ...parameterSpans(endpoint)].sort(([a], [b]) => a - b);
  let result = "";
  let shown = 0;
  for (const [start, end] of spans) {
    if (end <= shown) continue;
    result += `${endpoint.slice(shown, Math.max(start, shown))}${start < shown ? "" : HIDDEN}`;
    shown = end;
  }
  return result + endpoint.slice(shown);
}

/** A part of the endpoint in quotes, as it may stand in a message: one that {@link redactEndpoint} hides is not told. */
export function quotePart(endpoint: string, part: string): string {
  return redactEndpoint(endpoint).includes(part) ? `"${part}"` : `"${HIDDEN}"`;
}

function credentialSpans(endpoint: string): readonly Span[] {
  if (FILE_SCHEME.test(endpoint)) return [];
  const start = SCHEME.exec(endpoint)?.[0].length ?? 0;
  const rest = endpoint.slice(start);
  const at = rest.lastIndexOf("@");
  const end = at === -1 ? rest.length : at;
  if (at === -1 && !BARE_PASSWORD.test(rest)) return [];
  // Without a colon it may be a token as well as a user.
  const user = /^[\w.-]+:(?!\/\/)/.exec(rest.slice(0, end))?.[0] ?? "";
  return [[start + user.length, start + end]];
}

function parameterSpans(endpoint: string): readonly Span[] {
  const word = FILE_SCHEME.test(endpoint) ? null : SECRET_WORD.exec(endpoint);
  const matches = [...endpoint.matchAll(SECRET_PARAMETER), ...(word === null ? [] : [word])];
  return matches.map(({ indices }) => indices?.[1] ?? [0, endpoint.length]);
}
