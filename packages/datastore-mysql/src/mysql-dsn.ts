import { isIP } from "node:net";
import { hideSecrets, isSecretName, type Span } from "@k3s/log";
import { MysqlDsnError } from "./errors.ts";
import { parseGoDuration } from "./go-duration.ts";
import { SERVER_TLS_MODES, type MysqlDsn, type MysqlTlsMode } from "./mysql-dsn-types.ts";

const DEFAULT_PORT = 3306;
const DEFAULT_SOCKET = "/tmp/mysql.sock";

/** Positions of the parts of a DSN; each part is found before the next is looked at. */
interface Parts {
  readonly user: string;
  readonly password: string;
  readonly network: string;
  readonly address: string;
  readonly database: string;
  readonly parameters: string;
}

/**
 * Reads `[user[:password]@][net[(addr)]]/db[?k=v&…]` by the rules of go-sql-driver/mysql, which k3s and kine use: it is no URL.
 * Throws MysqlDsnError, which shows the DSN without its password.
 */
export function parseMysqlDsn(dsn: string): MysqlDsn {
  const fail = failureOf(dsn);
  const parts = splitDsn(dsn, fail);
  const database = decode(parts.database, { plusIsSpace: false });
  if (database === undefined) throw fail("the database name has a wrong percent escape", parts.database);
  const endpoint = endpointOf(parts, fail);
  const { user, password } = parts;
  return { user, password, ...endpoint, database, ...readParameters(parts.parameters, fail) };
}

/** What can stand between credentials and the slash. Anything else there may be a piece of a password. */
const PLACE = /^(?:tcp[46]?|unix)?(?:\([^@()]*\))?$/;

/** The DSN as it may be shown: whatever can be meant as a password, however misplaced, is `****`. */
export function hidePassword(dsn: string): string {
  return hideSecrets(dsn, { mask: "****", find: findPassword, hasSecretParameters: false });
}

/** By the form of a DSN, which is no URL: what stands between the user and the place of the server. */
function findPassword(dsn: string): readonly Span[] {
  const colon = dsn.indexOf(":");
  const at = dsn.lastIndexOf("@");
  const slash = dsn.lastIndexOf("/");
  if (colon < 0 || (at >= 0 && at < colon)) return [];
  const isPlace = slash <= at ? at >= 0 : PLACE.test(dsn.slice(at + 1, slash));
  if (at < 0 && isPlace) return [];
  const end = isPlace ? at : slash;
  return [[colon + 1, end < colon ? dsn.length : end]];
}

/** Makes the error; `part` is what is wrong, quoted only where the DSN as shown has it as well. */
type Fail = (reason: string, part?: string) => MysqlDsnError;

function failureOf(dsn: string): Fail {
  const shown = hidePassword(dsn);
  return (reason, part) =>
    MysqlDsnError.malformed(shown, part === undefined || !shown.includes(part) ? reason : `${reason}: "${part}"`);
}

function splitDsn(dsn: string, fail: Fail): Parts {
  const slash = dsn.lastIndexOf("/");
  if (slash < 0 && dsn !== "") throw fail("there is no slash in front of the database name");
  const [left, right] = [dsn.slice(0, Math.max(slash, 0)), dsn.slice(slash + 1)];
  const at = left.lastIndexOf("@");
  const [user, password] = cut(left.slice(0, Math.max(at, 0)), ":");
  const place = left.slice(at + 1);
  const [network, address] = cut(place, "(");
  const [database, parameters] = cut(right, "?");
  if (network === "unix" && !address.includes(")") && database.endsWith(")")) throw fail(NO_DATABASE);
  if (place.includes("(") && !address.endsWith(")"))
    throw fail(
      address.includes(")")
        ? "the last slash starts the database name, and in front of it is no closing bracket; write slashes behind it as %2F"
        : "the address has no closing bracket",
      place,
    );
  return { user, password, network, address: address.slice(0, -1), database, parameters };
}

/** What stands before and behind the first `sign`; without one, nothing stands behind it. */
function cut(text: string, sign: string): readonly [before: string, behind: string] {
  const at = text.indexOf(sign);
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
}

/** An address where the name of the database belongs: the last slash stands in the password then. */
const ADDRESS_AT_END = /(?:^|@)(?:tcp[46]?|unix)\([^()]*\)$/;
/** Not in brackets. */
const MANY_COLONS = /^[^[:]*:[^:]*:/;
const NO_DATABASE = "behind the address is no slash with the name of the database, such as /kubernetes";

function endpointOf({ network, address, database }: Parts, fail: Fail): Pick<MysqlDsn, "socketPath" | "host" | "port"> {
  if (network === "unix") return { socketPath: address === "" ? DEFAULT_SOCKET : address, host: "", port: 0 };
  if (!["", "tcp", "tcp4", "tcp6"].includes(network))
    throw ADDRESS_AT_END.test(database)
      ? fail(NO_DATABASE)
      : fail("in front of the slash stands neither tcp(host:port) nor unix(path)", network);
  if (address === "") return { socketPath: undefined, host: "127.0.0.1", port: DEFAULT_PORT };
  if (MANY_COLONS.test(address) && isIP(address) === 0)
    throw fail("the address has several colons and no brackets, write it as [address]:port", address);
  const found = splitHostPort(address);
  if (found === undefined) throw fail("the address has no usable port", address);
  return { socketPath: undefined, ...found };
}

/** `host`, `host:port`, `[v6]:port`, and as Go completes it, `v6` alone. An empty host is this machine, as in Go. */
function splitHostPort(address: string): { readonly host: string; readonly port: number } | undefined {
  const match =
    /^\[(?<host>[^\]]*)\](?::(?<port>.*))?$/.exec(address) ?? /^(?<host>[^:]*):(?<port>[^:]*)$/.exec(address);
  const { host, port } = match?.groups ?? { host: address };
  const number = Number(port ?? DEFAULT_PORT);
  if (!/^\d{1,5}$/.test(port ?? "0") || number > 65535) return undefined;
  return { host: host === undefined || host === "" ? "localhost" : host, port: number };
}

type Settings = Omit<MysqlDsn, "user" | "password" | "socketPath" | "host" | "port" | "database">;

interface Reading {
  settings: Settings;
  readonly variables: Map<string, string>;
  readonly fail: Fail;
}

type Parameter = (value: string, reading: Reading, name: string) => Partial<Settings>;

/** Read for their form only: what they switch in Go's driver does not exist in ours. */
const checkedBoolean: Parameter = (value, reading, name) => {
  readBoolean(value, reading, name);
  return {};
};
const checkedText: Parameter = (value, { fail }, name) => {
  if (decode(value, { plusIsSpace: true }) === undefined)
    throw fail("a parameter has a wrong percent escape", `${name}=${value}`);
  return {};
};
const ignored: Parameter = () => ({});

const PARAMETERS: Readonly<Record<string, Parameter>> = {
  allowAllFiles: checkedBoolean,
  allowCleartextPasswords: (value, reading, name) => ({ allowCleartextPasswords: readBoolean(value, reading, name) }),
  allowFallbackToPlaintext: (value, reading, name) => ({ allowFallbackToPlaintext: readBoolean(value, reading, name) }),
  allowNativePasswords: checkedBoolean,
  allowOldPasswords: checkedBoolean,
  charset: ignored, // all that is sent is ASCII
  checkConnLiveness: checkedBoolean,
  clientFoundRows: checkedBoolean,
  collation: ignored,
  columnsWithAlias: checkedBoolean,
  compress: (value, reading, name) => ({ compress: readBoolean(value, reading, name) }),
  connectionAttributes: checkedText,
  interpolateParams: checkedBoolean,
  loc: checkedText, // there are no dates in the tables
  maxAllowedPacket: (value, { fail }) => {
    if (!/^[+-]?\d+$/.test(value)) throw fail("maxAllowedPacket is no whole number", value);
    return {};
  },
  multiStatements: checkedBoolean,
  parseTime: checkedBoolean,
  readTimeout: (value, reading, name) => ({ readTimeoutMs: readDuration(value, reading, name) }),
  rejectReadOnly: checkedBoolean,
  serverPubKey: (value, { fail }) => {
    throw fail("serverPubKey names a key that only a Go program can register", value);
  },
  strict: (_value, { fail }) => {
    throw fail("the parameter strict exists no more; use sql_mode", "strict");
  },
  timeTruncate: (value, reading, name) => {
    readDuration(value, reading, name);
    return {};
  },
  timeout: (value, reading, name) => ({ connectTimeoutMs: readDuration(value, reading, name) }),
  tls: (value, { fail }) => ({ tls: readTls(value, fail) }),
  writeTimeout: (value, reading, name) => ({ writeTimeoutMs: readDuration(value, reading, name) }),
};

function readParameters(text: string, fail: Fail): Settings {
  const variables = new Map<string, string>();
  const reading: Reading = {
    settings: {
      tls: "false",
      allowFallbackToPlaintext: false,
      connectTimeoutMs: undefined,
      readTimeoutMs: undefined,
      writeTimeoutMs: undefined,
      allowCleartextPasswords: false,
      compress: false,
      variables,
    },
    variables,
    fail,
  };
  for (const item of text.split("&")) {
    const equals = item.indexOf("=");
    if (equals >= 0) readParameter(item.slice(0, equals), item.slice(equals + 1), reading);
  }
  return reading.settings;
}

/** Variables of a session that sound like secrets: block_encryption_mode, innodb_default_encryption_key_id, and these by name. */
const OPEN_VARIABLES = /encryption|^(?:@@)?(?:session\.|local\.)?(?:old_passwords|generated_random_password_length)$/i;
/** As a variable it would be sent in a statement, and SET PASSWORD is one. */
const MISPLACED_SECRET =
  "a secret is no parameter here; put the password in front of the @, as in user:password@tcp(host)";

function readParameter(name: string, value: string, reading: Reading): void {
  const known = Object.hasOwn(PARAMETERS, name) ? PARAMETERS[name] : undefined;
  if (known !== undefined) {
    reading.settings = { ...reading.settings, ...known(value, reading, name) };
    return;
  }
  if (isSecretName(name) && !OPEN_VARIABLES.test(name)) throw reading.fail(MISPLACED_SECRET, name);
  const decoded = decode(value, { plusIsSpace: true });
  if (decoded === undefined) throw reading.fail("a parameter has a wrong percent escape", `${name}=${value}`);
  if (!/^[@\w.$]+$/.test(name)) throw reading.fail("this can be neither a parameter nor a session variable", name);
  reading.variables.set(name, decoded);
}

function readTls(value: string, fail: Fail): MysqlTlsMode {
  const boolean = toBoolean(value);
  if (boolean !== undefined) return boolean ? "true" : "false";
  const decoded = decode(value, { plusIsSpace: true });
  const mode = SERVER_TLS_MODES.find((known) => known === decoded);
  if (value === "") return "false";
  if (mode === undefined) throw fail("tls can be true, false, skip-verify or preferred", value);
  return mode;
}

function readBoolean(value: string, { fail }: Reading, name: string): boolean {
  const boolean = toBoolean(value);
  if (boolean === undefined) throw fail("this can be true or false", `${name}=${value}`);
  return boolean;
}

/** The spellings that Go's driver takes, and no others. */
function toBoolean(value: string): boolean | undefined {
  if (["1", "true", "TRUE", "True"].includes(value)) return true;
  return ["0", "false", "FALSE", "False"].includes(value) ? false : undefined;
}

function readDuration(value: string, { fail }: Reading, name: string): number {
  const ms = parseGoDuration(value);
  if (ms === undefined || ms < 0) throw fail("this is no duration such as 30s or 1m30s", `${name}=${value}`);
  return ms;
}

/** undefined when an escape is malformed. Bytes that are no UTF-8 cannot be part of a name here, so they count as malformed. */
function decode(text: string, options: { readonly plusIsSpace: boolean }): string | undefined {
  try {
    return decodeURIComponent(options.plusIsSpace ? text.replaceAll("+", " ") : text);
  } catch {
    return undefined;
  }
}
