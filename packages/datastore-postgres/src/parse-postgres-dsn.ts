import { isIP } from "node:net";
import { hideSecrets } from "@k3s/log";
import { PostgresError } from "./errors.ts";
import { parseGoUrl, GoUrlError, type GoUrl } from "./go-url.ts";
import {
  defaultSettings,
  environmentSettings,
  passwordFrom,
  readTextOf,
  serviceSettings,
  type PostgresEnvironment,
  type SettingMap,
} from "./postgres-environment.ts";

const SSL_MODES = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] as const;
const SSL_NEGOTIATIONS = ["postgres", "direct"] as const;
const CHANNEL_BINDINGS = ["disable", "prefer", "require"] as const;
const PROTOCOL_VERSIONS = ["3.0", "3.2", "latest"] as const;
const SESSION_KINDS = ["any", "read-write", "read-only", "primary", "standby", "prefer-standby"] as const;
const EXEC_MODES = ["cache_statement", "cache_describe", "describe_exec", "exec", "simple_protocol"] as const;
/** Endpoint that kine takes when none is named. */
const DEFAULT_REST = "postgres:postgres@localhost/";
const DEFAULT_DATABASE = "/kubernetes";
const STATEMENT_CACHE = "512";

type SslMode = (typeof SSL_MODES)[number];
export type SessionKind = (typeof SESSION_KINDS)[number];

/** Everything a connection string says, in the order in which hosts are tried. */
export interface PostgresSettings {
  /** A host that begins with a slash is the folder of a unix socket. */
  readonly hosts: readonly { readonly host: string; readonly port: number }[];
  readonly user: string;
  readonly password: string;
  readonly database: string;
  readonly sslMode: SslMode;
  /** TLS begins without being asked for, as PostgreSQL 17 and later take it. */
  readonly isTlsDirect: boolean;
  /** Paths, empty for none. */
  readonly sslRootCert: string;
  readonly sslCert: string;
  readonly sslKey: string;
  readonly sslPassword: string;
  /** 0: as long as the system takes. */
  readonly connectTimeoutMs: number;
  readonly sessionKind: SessionKind;
  /** Whether statements may be prepared once and used again; false behind a PgBouncer that hands connections around. */
  readonly canPrepare: boolean;
  /** Everything else is set in each session, as `search_path`. */
  readonly parameters: SettingMap;
  /** The string without its password, for messages. */
  readonly shown: string;
}

// What is no parameter of a session. The last four are pgx's own.
const OURS = new Set(
  `host port database user password passfile connect_timeout connect_recover_timeout sslmode sslkey sslcert sslrootcert
   sslpassword sslsni sslnegotiation krbspn krbsrvname target_session_attrs
   min_protocol_version max_protocol_version channel_binding require_auth service servicefile
   default_query_exec_mode statement_cache_capacity description_cache_capacity`.split(/\s+/),
);

/**
 * Parses a PostgreSQL endpoint as kine and pgx under it do: `postgres://` or `postgresql://`, user info, hosts, database, parameters,
 * on top of service file, environment variables and defaults. Throws PostgresError, which shows the string without its password.
 */
export function parsePostgresDsn(dsn: string, environment: PostgresEnvironment): PostgresSettings {
  const shown = hideSecrets(dsn);
  try {
    const settings = settingsOf(toUrl(dsn), environment);
    return { ...interpret(settings, environment), shown };
  } catch (error) {
    if (error instanceof GoUrlError) throw PostgresError.badDsn(shown, error.part, reasonOf(error, shown));
    throw error;
  }
}

/** A value is told only where the string shows it as well. */
function reasonOf({ value, state, message }: GoUrlError, shown: string): string {
  return value === undefined || shown.includes(value) ? message : `it ${state}`;
}

function toUrl(dsn: string): GoUrl {
  const scheme = dsn.indexOf("://");
  if (dsn !== "" && !["postgres", "postgresql"].includes(dsn.slice(0, scheme)))
    throw new GoUrlError("the scheme", "it must be postgres:// or postgresql://");
  const rest = dsn === "" ? "" : dsn.slice(scheme + 3);
  return parseGoUrl(rest === "" ? DEFAULT_REST : rest);
}

function settingsOf(url: GoUrl, environment: PostgresEnvironment): SettingMap {
  const own = { ...urlSettings(url), ...tlsSettings(url, environment) };
  const base = { ...defaultSettings(environment), ...environmentSettings(environment) };
  const { service, servicefile = "" } = { ...base, ...own } as Partial<Record<string, string>>;
  if (service === undefined) return { ...base, ...own };
  const named = serviceSettings(readTextOf(environment)(servicefile), service);
  if (named === undefined)
    throw new GoUrlError("service", `"${service}" is not to be found in the service file "${servicefile}"`);
  return { ...base, ...named, ...own };
}

function urlSettings(url: GoUrl): SettingMap {
  const { hosts, ports } = splitHosts(url.host);
  // kine folds the name as PostgreSQL folds one without quotes; one in `dbname` stays as it is.
  const path = (url.path === "" || url.path === "/" ? DEFAULT_DATABASE : url.path).toLowerCase();
  const database = path.replace(/^\/+/, "");
  const query = [...url.query].map(([key, value]) => [key === "dbname" ? "database" : key, value] as const);
  return {
    ...(url.user === undefined ? {} : { user: url.user }),
    ...(url.password === undefined ? {} : { password: url.password }),
    ...(hosts.length === 0 ? {} : { host: hosts.join() }),
    ...(ports.length === 0 ? {} : { port: ports.join() }),
    ...(database === "" ? {} : { database }),
    ...Object.fromEntries(query),
  };
}

/** Hosts and ports are two lists: a host without a port of its own place gets the first port. */
function splitHosts(text: string): { readonly hosts: readonly string[]; readonly ports: readonly string[] } {
  const hosts: string[] = [];
  const ports: string[] = [];
  for (const item of text.split(",").filter(Boolean)) {
    const whole = isIP(item) === 0 ? item : `[${item}]`;
    const [, bracketed, plain, port] = /^(?:\[([^\]]*)\]|([^:]*))(?::([^:]*))?$/.exec(whole) ?? [];
    if (bracketed === undefined && plain === undefined)
      throw new GoUrlError("the host", "has several colons and no brackets", item);
    hosts.push(...[bracketed ?? plain ?? ""].filter(Boolean));
    ports.push(...[port ?? ""].filter(Boolean));
  }
  return { hosts, ports };
}

/** The files of the command line count where the string says nothing; then the server is verified, unless it says otherwise. */
function tlsSettings({ query }: GoUrl, { tls = {} }: PostgresEnvironment): SettingMap {
  const files = { sslcert: tls.certFile ?? "", sslkey: tls.keyFile ?? "", sslrootcert: tls.caFile ?? "" };
  const used = Object.entries(files).filter(([name, path]) => path !== "" && !query.has(name));
  if (used.length === 0 || query.has("sslmode")) return Object.fromEntries(used);
  if (tls.skipVerify !== true) return { sslmode: "verify-full", ...Object.fromEntries(used) };
  // With a root certificate `require` would verify.
  return { sslmode: "require", ...Object.fromEntries(used.filter(([name]) => name !== "sslrootcert")) };
}

function interpret(map: SettingMap, environment: PostgresEnvironment): Omit<PostgresSettings, "shown"> {
  const get = (name: string) => map[name] ?? "";
  assertWithinReach(get);
  const hosts = hostsOf(get("host"), get("port"));
  return {
    hosts,
    user: get("user"),
    password: get("password") || storedPassword({ hosts, get, environment }),
    database: get("database"),
    ...tlsOf(get),
    connectTimeoutMs: 1000 * wholeNumber("connect_timeout", map["connect_timeout"] ?? "0"),
    sessionKind: oneOf(SESSION_KINDS, "target_session_attrs", get("target_session_attrs")),
    canPrepare: canPrepare(get),
    parameters: Object.fromEntries(Object.entries(map).filter(([name]) => !OURS.has(name))),
  };
}

type Get = (name: string) => string;

const INSTEAD = "leave it out; with sslmode=verify-full nobody else can take the server's place";

/** Throws for what the library cannot keep to. It speaks version 3.0, with SCRAM that is bound to no channel. */
function assertWithinReach(get: Get): void {
  const binding = oneOf(CHANNEL_BINDINGS, "channel_binding", get("channel_binding") || "prefer");
  if (binding === "require") throw new GoUrlError("channel_binding", `it cannot be insisted on: ${INSTEAD}`);
  if (get("require_auth") !== "") throw new GoUrlError("require_auth", `it cannot be insisted on: ${INSTEAD}`);
  oneOf(PROTOCOL_VERSIONS, "max_protocol_version", get("max_protocol_version") || "3.0");
  const least = oneOf(PROTOCOL_VERSIONS, "min_protocol_version", get("min_protocol_version") || "3.0");
  if (least !== "3.0") throw new GoUrlError("min_protocol_version", "only 3.0 is spoken: write that, or leave it out");
}

type Tls = Pick<PostgresSettings, "sslMode" | "isTlsDirect" | "sslRootCert" | "sslCert" | "sslKey" | "sslPassword">;

function tlsOf(get: Get): Tls {
  const [sslCert, sslKey, sslPassword] = [get("sslcert"), get("sslkey"), get("sslpassword")];
  if ((sslCert === "") !== (sslKey === ""))
    throw new GoUrlError("sslcert and sslkey", "one is given without the other");
  const negotiation = oneOf(SSL_NEGOTIATIONS, "sslnegotiation", get("sslnegotiation") || "postgres");
  const isTlsDirect = negotiation === "direct";
  const isSystem = get("sslrootcert") === "system";
  const asked = oneOf(SSL_MODES, "sslmode", get("sslmode") || "prefer");
  const sslMode = isTlsDirect && asked === "prefer" ? "require" : asked;
  return {
    sslMode: isSystem ? "verify-full" : sslMode, // as pgx: a mode that verifies less makes no sense with all authorities
    isTlsDirect,
    sslRootCert: isSystem ? "" : get("sslrootcert"),
    sslCert,
    sslKey,
    sslPassword,
  };
}

function canPrepare(get: Get): boolean {
  const execMode = oneOf(EXEC_MODES, "default_query_exec_mode", get("default_query_exec_mode") || "cache_statement");
  const size = wholeNumber("statement_cache_capacity", get("statement_cache_capacity") || STATEMENT_CACHE);
  return execMode === "cache_statement" && size > 0;
}

interface PasswordSearch {
  readonly hosts: PostgresSettings["hosts"];
  readonly get: Get;
  readonly environment: PostgresEnvironment;
}

/** Asked for the first host only, as pgx does. */
function storedPassword({ hosts: [first], get, environment }: PasswordSearch): string {
  if (first === undefined) return "";
  const host = first.host.startsWith("/") ? "localhost" : first.host;
  const wanted = [host, String(first.port), get("database"), get("user")] as const;
  return passwordFrom(readTextOf(environment)(get("passfile")), wanted);
}

function hostsOf(hostList: string, portList: string): PostgresSettings["hosts"] {
  const ports = portList.split(",");
  return hostList.split(",").map((host, i) => ({ host, port: portOf(ports[i] ?? ports[0] ?? "") }));
}

function portOf(text: string): number {
  const port = wholeNumber("the port", text);
  if (port < 1 || port > 65_535) throw new GoUrlError("the port", `${port} is not from 1 to 65535`);
  return port;
}

function wholeNumber(part: string, text: string): number {
  if (!/^[0-9]{1,15}$/.test(text)) throw new GoUrlError(part, "is no whole number", text);
  return Number(text);
}

function oneOf<Choice extends string>(choices: readonly Choice[], part: string, text: string): Choice {
  const choice = choices.find((known) => known === text);
  if (choice === undefined) throw new GoUrlError(part, `is none of ${choices.join(", ")}`, text);
  return choice;
}
