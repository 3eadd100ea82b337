import { existsSync, readFileSync } from "node:fs";
import { homedir, userInfo } from "node:os";
import { join } from "node:path";

/** Settings by the names of connection strings. */
export type SettingMap = Readonly<Record<string, string>>;

/** What a connection string is read against. Everything has a default but the environment. */
export interface PostgresEnvironment {
  /** Environment variables; only those that begin with PG count. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Paths of `--datastore-cafile`, `-certfile` and `-keyfile`. */
  readonly tls?: {
    readonly caFile?: string | undefined;
    readonly certFile?: string | undefined;
    readonly keyFile?: string | undefined;
    /** `--skip-verify`; counts only with a file, as for MySQL, and where the string has no sslmode. */
    readonly skipVerify?: boolean | undefined;
  };
  /** Name of the user the process runs as, and his home directory. Default: the system's word. */
  readonly user?: string;
  readonly home?: string;
  /** Text of a file; undefined when it cannot be read. Default: the file system. */
  readonly readText?: (path: string) => string | undefined;
  /** Whether there is a file or folder. Default: the file system's word. */
  readonly isThere?: (path: string) => boolean;
}

const VARIABLES: SettingMap = {
  PGHOST: "host",
  PGPORT: "port",
  PGDATABASE: "database",
  PGUSER: "user",
  PGPASSWORD: "password",
  PGPASSFILE: "passfile",
  PGAPPNAME: "application_name",
  PGCONNECT_TIMEOUT: "connect_timeout",
  PGSSLMODE: "sslmode",
  PGSSLKEY: "sslkey",
  PGSSLCERT: "sslcert",
  PGSSLSNI: "sslsni",
  PGSSLROOTCERT: "sslrootcert",
  PGSSLPASSWORD: "sslpassword",
  PGSSLNEGOTIATION: "sslnegotiation",
  PGTARGETSESSIONATTRS: "target_session_attrs",
  PGSERVICE: "service",
  PGSERVICEFILE: "servicefile",
  PGTZ: "timezone",
  PGOPTIONS: "options",
  PGMINPROTOCOLVERSION: "min_protocol_version",
  PGMAXPROTOCOLVERSION: "max_protocol_version",
  PGCHANNELBINDING: "channel_binding",
  PGREQUIREAUTH: "require_auth",
};

/** Where servers put their sockets: Debian, Homebrew, PostgreSQL's own default. */
const SOCKET_FOLDERS = ["/var/run/postgresql", "/private/tmp", "/tmp"];

/** The settings that environment variables make. */
export function environmentSettings({ env }: PostgresEnvironment): SettingMap {
  const set = Object.entries(VARIABLES).map(([variable, name]) => [name, env[variable] ?? ""] as const);
  return Object.fromEntries(set.filter(([, value]) => value !== ""));
}

/** What pgx, and libpq before it, takes when nobody says anything. */
export function defaultSettings(environment: PostgresEnvironment): SettingMap {
  const { isThere = existsSync } = environment;
  const home = environment.home ?? homedir();
  const own = (name: string) => join(home, ".postgresql", name);
  const [cert, key, root] = [own("postgresql.crt"), own("postgresql.key"), own("root.crt")];
  return {
    host: SOCKET_FOLDERS.find((path) => isThere(path)) ?? "localhost",
    port: "5432",
    user: environment.user ?? userInfo().username,
    target_session_attrs: "any",
    passfile: join(home, ".pgpass"),
    servicefile: join(home, ".pg_service.conf"),
    ...(isThere(cert) && isThere(key) ? { sslcert: cert, sslkey: key } : {}),
    ...(isThere(root) ? { sslrootcert: root } : {}),
  };
}

/** The settings of one section of a service file; undefined when there is no such file or section. */
export function serviceSettings(text: string | undefined, service: string): SettingMap | undefined {
  const settings: Record<string, string> = {};
  let section: string | undefined;
  let isFound = false;
  for (const line of (text ?? "").split("\n").map((whole) => whole.trim())) {
    if (line === "" || line.startsWith("#")) continue;
    if (line.startsWith("[") && line.endsWith("]")) {
      section = line.slice(1, -1);
      isFound ||= section === service;
    } else if (section === service && line.includes("=")) {
      const equals = line.indexOf("=");
      const key = line.slice(0, equals).trim();
      settings[key === "dbname" ? "database" : key] = line.slice(equals + 1).trim();
    }
  }
  return isFound ? settings : undefined;
}

/** The password of the first line of a password file that fits; empty when none does. */
export function passwordFrom(
  text: string | undefined,
  wanted: readonly [host: string, port: string, database: string, user: string],
): string {
  for (const line of (text ?? "").split("\n").map((whole) => whole.trim())) {
    if (line.startsWith("#")) continue;
    const fields = [...line.matchAll(/((?:\\.|[^:\\])*)(?::|$)/g)].map(([, field = ""]) =>
      field.replace(/\\(.)/g, "$1"),
    );
    const password = fields[4];
    if (password !== undefined && wanted.every((value, i) => fields[i] === "*" || fields[i] === value)) return password;
  }
  return "";
}

/** How files are read here. */
export function readTextOf({ readText }: PostgresEnvironment): (path: string) => string | undefined {
  return readText ?? readTextFile;
}

function readTextFile(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined; // pgx goes on without a file that it cannot read; where one is needed the caller says so
  }
}
