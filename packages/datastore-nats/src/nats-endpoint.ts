import { endSchemeAt, findCredentials, hideSecrets, type Logger, type Span } from "@k3s/log";
import { NatsError } from "./errors.ts";

/** What an endpoint says, with kine's defaults. */
export interface NatsEndpoint {
  /** `host:port`, at least one unless a context file names them. */
  readonly servers: readonly string[];
  readonly user: string | undefined;
  readonly password: string | undefined;
  readonly token: string | undefined;
  readonly bucket: string;
  readonly replicas: number;
  /** Messages that the bucket keeps of each key. */
  readonly revHistory: number;
  /** Requests that take longer are logged. */
  readonly slowMethodMs: number;
  readonly credsFile: string | undefined;
  readonly contextFile: string | undefined;
  /** Parts that kine does not look at either, without their values. */
  readonly ignored: readonly string[];
  /** The endpoint for messages: without secrets. */
  readonly shown: string;
}

const DEFAULT_PORT = 4222;
const SCHEME = /^(?:nats|jetstream):\/\//;
const PARAMETERS = ["bucket", "replicas", "revHistory", "slowMethod", "credsFile", "contextFile"];
const KNOWN: ReadonlySet<string> = new Set([...PARAMETERS, "noEmbed"]); // the last: there is no other way here
const EMBEDDED: ReadonlySet<string> = new Set(["serverConfig", "dontListen", "stdoutLogging", "dataDir"]);
const BUCKET = /^[\w-]+$/;
const HOST = /^(\[[0-9a-fA-F:.%]+\]|[\w.-]+)(?::(\d{1,5}))?$/;
const DURATION_UNITS_MS: Readonly<Record<string, number>> = {
  ...{ ns: 1e-6, us: 1e-3, µs: 1e-3, μs: 1e-3 },
  ...{ ms: 1, s: 1000, m: 60_000, h: 3_600_000 },
};

/** Reads `nats://…` or its old alias `jetstream://…`. Throws NatsError that lists all that is wrong with it. */
export function parseNatsEndpoint(text: string): NatsEndpoint {
  const shown = showEndpoint(text);
  const problems = new Problems(shown);
  const [first = "", ...others] = text.split(",").map((part, index) => splitUrl(part, index, problems));
  const parameters = first === "" ? new URLSearchParams() : first.query;
  const rest = others.filter((part) => part !== "");
  const ignored = first === "" ? [] : [...first.ignored, ...unknownParameters(parameters, problems)];
  const endpoint: NatsEndpoint = {
    servers: readServers([...(first === "" ? [] : [first]), ...rest], problems),
    ...(first === "" ? { user: undefined, password: undefined, token: undefined } : readUser(first.userInfo, problems)),
    ...readParameters(parameters, problems),
    ignored: [...ignored, ...rest.flatMap((part) => (part.hasQuery ? ["parameters behind the first host"] : []))],
    shown,
  };
  if (endpoint.contextFile === undefined && endpoint.servers.length === 0 && problems.list.length === 0)
    problems.add("it names no host");
  if (endpoint.contextFile !== undefined && endpoint.servers.length > 0)
    problems.add("a contextFile names the hosts, so none may stand here");
  if (problems.list.length > 0) throw NatsError.badEndpoint(shown, problems.list);
  return endpoint;
}

const IGNORED_HINT = `Leave it out or correct it: the parameters are ${PARAMETERS.join(", ")}; they stand behind the first host, and there is no path`;

/** Tells the log of each part of an endpoint that counts for nothing. */
export function warnOfIgnored({ shown, ignored }: NatsEndpoint, log: Logger): void {
  for (const part of ignored)
    log.warn({ endpoint: shown, part, hint: IGNORED_HINT }, "a part of the datastore endpoint is ignored");
}

const HIDDEN = "********";

/** Without user, password and token; NATS has no parameter for any of them. */
function showEndpoint(text: string): string {
  return hideSecrets(text, { find: findUsers, hasSecretParameters: false });
}

/** Everything before the last `@`: it may be a token. */
function findUsers(text: string): readonly Span[] {
  const at = text.lastIndexOf("@");
  return at < 0 ? findCredentials(text) : [[endSchemeAt(text), at]];
}

/** What is wrong with an endpoint, told without its secrets. */
class Problems {
  readonly list: string[] = [];
  readonly #shown: string;

  constructor(shown: string) {
    this.#shown = shown;
  }

  add(text: string): void {
    this.list.push(text);
  }

  /** A part of the endpoint in quotes; one that is hidden in the endpoint is hidden here. */
  quote(part: string): string {
    return this.#shown.includes(part) ? `"${part}"` : `"${HIDDEN}"`;
  }
}

interface UrlPart {
  readonly userInfo: string | undefined;
  readonly host: string;
  readonly query: URLSearchParams;
  readonly hasQuery: boolean;
  readonly ignored: readonly string[];
}

function splitUrl(part: string, index: number, problems: Problems): UrlPart | "" {
  const scheme = SCHEME.exec(part)?.[0];
  if (scheme === undefined && (index === 0 || part.includes("://"))) {
    problems.add(index === 0 ? "it does not begin with nats://" : `host ${index + 1} has another scheme than nats`);
    return "";
  }
  const rest = part.slice(scheme?.length ?? 0);
  const [address = "", ...query] = rest.split("?");
  const [authority = "", ...path] = address.split("/");
  const at = authority.lastIndexOf("@");
  return {
    userInfo: at < 0 ? undefined : authority.slice(0, at),
    host: authority.slice(at + 1),
    query: new URLSearchParams(query.join("?")),
    hasQuery: query.length > 0,
    ignored: path.join("/") === "" ? [] : ["a path"],
  };
}

function readServers(parts: readonly UrlPart[], problems: Problems): string[] {
  return parts.flatMap(({ host }) => {
    if (host === "") return [];
    const [, name, port = String(DEFAULT_PORT)] = HOST.exec(host) ?? [];
    if (name !== undefined && Number(port) >= 1 && Number(port) <= 65_535) return [`${name}:${port}`];
    problems.add(`${problems.quote(host)} is no host with a port from 1 to 65535`);
    return [];
  });
}

type Login = Pick<NatsEndpoint, "user" | "password" | "token">;

const NOBODY: Login = { user: undefined, password: undefined, token: undefined };
const BAD_PERCENT = "user, password or token has a % that is not followed by two hexadecimal digits";

function readUser(text: string | undefined, problems: Problems): Login {
  try {
    return decodeLogin(text ?? "");
  } catch {
    problems.add(BAD_PERCENT);
    return NOBODY;
  }
}

/** What stands before the `@` of a server. Throws URIError, without any of it. */
export function decodeLogin(text: string): Login {
  if (text === "") return NOBODY;
  const colon = text.indexOf(":");
  try {
    if (colon < 0) return { ...NOBODY, token: decodeURIComponent(text) };
    return {
      ...NOBODY,
      user: decodeURIComponent(text.slice(0, colon)),
      password: decodeURIComponent(text.slice(colon + 1)),
    };
  } catch {
    throw new URIError(BAD_PERCENT);
  }
}

function unknownParameters(parameters: URLSearchParams, problems: Problems): string[] {
  const names = [...new Set(parameters.keys())].filter((name) => !KNOWN.has(name));
  for (const name of names.filter((known) => EMBEDDED.has(known)))
    problems.add(
      `"${name}" is for a server inside of k3s, which there is not: run nats-server beside it and leave "${name}" out`,
    );
  return names.filter((name) => !EMBEDDED.has(name)).map((name) => `parameter ${problems.quote(name)}`);
}

type Parameters = Pick<
  NatsEndpoint,
  "bucket" | "replicas" | "revHistory" | "slowMethodMs" | "credsFile" | "contextFile"
>;

function readParameters(parameters: URLSearchParams, problems: Problems): Parameters {
  const text = (name: string) => parameters.get(name) || undefined; // kine takes an empty value for none
  const count = (name: string, range: { readonly least: number; readonly most: number; readonly fallback: number }) => {
    const value = text(name);
    if (value === undefined) return range.fallback;
    if (/^\d+$/.test(value) && Number(value) >= range.least && Number(value) <= range.most) return Number(value);
    problems.add(`${name} must be a number from ${range.least} to ${range.most}, not ${problems.quote(value)}`);
    return range.fallback;
  };
  const bucket = text("bucket") ?? "kine";
  if (!BUCKET.test(bucket)) problems.add(`bucket must be letters, digits, "-" and "_", not ${problems.quote(bucket)}`);
  const slow = parseDuration(text("slowMethod") ?? "500ms");
  if (slow === undefined)
    problems.add(`slowMethod must be a duration such as 500ms, not ${problems.quote(text("slowMethod") ?? "")}`);
  return {
    bucket,
    replicas: count("replicas", { least: 1, most: 5, fallback: 1 }),
    revHistory: count("revHistory", { least: 2, most: 64, fallback: 10 }),
    slowMethodMs: slow ?? 0,
    credsFile: text("credsFile"),
    contextFile: text("contextFile"),
  };
}

/** Go's form: numbers with units, `1m30s`. Milliseconds; undefined: something else. */
function parseDuration(text: string): number | undefined {
  if (text === "0") return 0;
  if (!/^(?:\d+(?:\.\d+)?(?:ns|us|µs|μs|ms|s|m|h))+$/.test(text)) return undefined;
  let total = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|μs|ms|s|m|h)/g))
    total += Number(amount) * (DURATION_UNITS_MS[unit ?? ""] ?? 0);
  return total;
}
