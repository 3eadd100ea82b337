/** A URL as Go's net/url sees it, decoded. */
export interface GoUrl {
  readonly user: string | undefined;
  /** undefined: no colon after the user. */
  readonly password: string | undefined;
  /** Everything between user info and path, as `a:1,[::1]:2`. */
  readonly host: string;
  readonly path: string;
  /** First value of each key. */
  readonly query: ReadonlyMap<string, string>;
}

/** A part of the URL is not as it must be. `part` names it. */
export class GoUrlError extends Error {
  override readonly name = "GoUrlError";
  readonly part: string;
  /** What stands there, when it is known. It may be a piece of a password that is not written as it must be. */
  readonly value: string | undefined;
  /** What is wrong with it, to stand behind the value or "it". */
  readonly state: string;

  constructor(part: string, state: string, value?: string) {
    super(value === undefined ? state : `"${value}" ${state}`);
    this.part = part;
    this.value = value;
    this.state = state;
  }
}

const CONTROL = /[\u0000-\u001f\u007f]/;
const USER_INFO = /^[A-Za-z0-9\-._:~!$&'()*+,;=%@]*$/;
// Of ASCII, what Go lets stand in a host without an escape.
const HOST = /^[A-Za-z0-9\-._~!$&'()*+,;=:[\]<>"\u0080-\uffff]*$/;

/** Parses what follows `scheme://`, by the rules of Go's url.Parse and url.ParseQuery. Throws GoUrlError. */
export function parseGoUrl(text: string): GoUrl {
  if (CONTROL.test(text)) throw new GoUrlError("the text", "it has a control character");
  const [beforeFragment = ""] = text.split("#", 1);
  const [hierarchy, queryText] = cut(beforeFragment, "?");
  const slash = hierarchy.indexOf("/");
  const authority = slash < 0 ? hierarchy : hierarchy.slice(0, slash);
  const path = slash < 0 ? "" : hierarchy.slice(slash);
  const at = authority.lastIndexOf("@");
  return {
    ...parseUserInfo(at < 0 ? undefined : authority.slice(0, at)),
    host: parseHost(authority.slice(at + 1)),
    path: unescape(path, "the database name"),
    query: parseQuery(queryText),
  };
}

function cut(text: string, separator: string): [before: string, after: string] {
  const index = text.indexOf(separator);
  return index < 0 ? [text, ""] : [text.slice(0, index), text.slice(index + separator.length)];
}

function parseUserInfo(text: string | undefined): Pick<GoUrl, "user" | "password"> {
  if (text === undefined) return { user: undefined, password: undefined };
  if (!USER_INFO.test(text)) throw new GoUrlError("user and password", "a character in it must be percent-encoded");
  const [user, password] = cut(text, ":");
  return {
    user: unescape(user, "the user"),
    password: text.includes(":") ? unescape(password, "the password") : undefined,
  };
}

function parseHost(text: string): string {
  const bracket = text.startsWith("[") ? text.lastIndexOf("]") : -1;
  if (text.startsWith("[") && bracket < 0) throw new GoUrlError("the host", "a bracket is not closed");
  const colon = bracket >= 0 ? bracket + 1 : text.lastIndexOf(":");
  const port = colon < 0 ? "" : text.slice(colon);
  // A slash in a password ends the host early: what is taken for the port may be a secret.
  if (port !== "" && !/^:[0-9]*$/.test(port))
    throw new GoUrlError("the port", "it is no number (a `/`, `?` or `#` in user or password must be percent-encoded)");
  const host = unescape(text, "the host");
  if (!HOST.test(host)) throw new GoUrlError("the host", "it has a character that no host has");
  return host;
}

function parseQuery(text: string): Map<string, string> {
  const values = new Map<string, string>();
  for (const pair of text.split("&")) {
    if (pair === "") continue;
    if (pair.includes(";")) throw new GoUrlError("the parameters", "they are separated by `;` and not by `&`");
    const [key, value] = cut(pair, "=").map((half) => unescape(half.replaceAll("+", " "), "a parameter")) as [
      string,
      string,
    ];
    if (!values.has(key)) values.set(key, value);
  }
  return values;
}

/** Bytes that are no UTF-8 become U+FFFD; Go keeps them, but a connection could not carry them. */
function unescape(text: string, part: string): string {
  if (!text.includes("%")) return text;
  if (/%(?![0-9A-Fa-f]{2})/.test(text)) throw new GoUrlError(part, "a `%` in it is not followed by two hex digits");
  const bytes: Buffer[] = [];
  for (const [piece] of text.matchAll(/%[0-9A-Fa-f]{2}|[^%]+/g))
    bytes.push(piece.startsWith("%") ? Buffer.from(piece.slice(1), "hex") : Buffer.from(piece));
  return Buffer.concat(bytes).toString();
}
