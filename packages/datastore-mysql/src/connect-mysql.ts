import { once } from "node:events";
import dns from "node:dns";
import { connect, type LookupFunction, type Socket } from "node:net";
import { abortReason } from "@k3s/async";
import { createConnection, type ConnectionOptions } from "mysql2";
import { errorNumber } from "./classify.ts";
import { DURABILITY_VARIABLES } from "./durability.ts";
import { MysqlError } from "./errors.ts";
import { FirstWord, ForeignServer } from "./foreign-server.ts";
import { MysqlSession } from "./mysql-session.ts";
import type { MysqlTarget } from "./mysql-target.ts";
import { groupConsistency } from "./server-kind.ts";

/** What the server has to be asked for, so that all sessions behave the same. */
const VARIABLES = [
  "auto_increment_increment",
  "binlog_format",
  "group_replication_consistency",
  "group_replication_group_name",
  "hostname",
  "information_schema_stats_expiry",
  "innodb_snapshot_isolation",
  "log_bin",
  "max_allowed_packet",
  "port",
  "server_uid",
  "server_uuid",
  "version",
  "wsrep_on",
  ...DURABILITY_VARIABLES,
];

// SYNTAX_ERROR (ER_PARSE_ERROR), ER_UNKNOWN_CHARACTER_SET, ER_UNKNOWN_SYSTEM_VARIABLE, ER_SPECIFIC_ACCESS_DENIED, ER_GLOBAL_VARIABLE, ER_WRONG_VALUE_FOR_VAR,
// ER_WRONG_TYPE_FOR_VAR, ER_INCORRECT_GLOBAL_LOCAL_VAR, ER_UNKNOWN_COLLATION, ER_UNKNOWN_TIME_ZONE, ER_VARIABLE_IS_READONLY:
// settings that the DSN asks for and the server does not take.
const SYNTAX_ERROR = 1064;
const SETTING_REFUSALS = new Set([SYNTAX_ERROR, 1115, 1193, 1227, 1229, 1231, 1232, 1238, 1273, 1298, 1621]);

/** A lock is waited for this long: longer than anybody may keep it, shorter than a commit may take. */
const LOCK_WAIT_SECONDS = 3;

/** kine's dial time-out. */
const CONNECT_LIMIT_MS = 5000;

/** How long connecting may take: what the DSN says, else five seconds. */
export function connectLimitMs({ connectTimeoutMs = 0 }: MysqlTarget): number {
  return connectTimeoutMs > 0 ? connectTimeoutMs : CONNECT_LIMIT_MS;
}

interface ConnectOptions {
  /** undefined: none is chosen. */
  readonly database: string | undefined;
  /** Gives up, with its reason. */
  readonly signal: AbortSignal;
}

/** Connects and sets the session up. Rejects with the library's error, ForeignServer, MysqlError, or the reason of the signal. */
export async function connectMysql(target: MysqlTarget, options: ConnectOptions): Promise<MysqlSession> {
  try {
    return await connectOnce(target, options);
  } catch (error) {
    const hasNoTls = error instanceof Error && "code" in error && error.code === "HANDSHAKE_NO_SSL_SUPPORT";
    if (!target.isSslOptional || !hasNoTls) throw error;
    return connectOnce({ ...target, ssl: undefined }, options);
  }
}

async function connectOnce(target: MysqlTarget, { database, signal }: ConnectOptions): Promise<MysqlSession> {
  const socket = await openSocket(target, signal);
  const { remoteAddress: address } = socket;
  let first: FirstWord | undefined;
  const give = () => socket.destroy(abortReason(signal));
  signal.addEventListener("abort", give, { once: true });
  try {
    const connection = createConnection(connectionOptions(target, { socket, database }));
    first = new FirstWord(socket);
    const session = new MysqlSession({ connection, socket, readTimeoutMs: target.readTimeoutMs });
    await new Promise<void>((resolve, reject) => {
      connection.connect((error) => (error === null ? resolve() : reject(error)));
    });
    await setUp(session, target);
    return session;
  } catch (error) {
    if (signal.aborted && address !== undefined) target.silent.note(address);
    socket.destroy();
    if (first?.isForeign === true) throw ForeignServer.greeted(error);
    if (signal.aborted && first?.isHeard === false) throw ForeignServer.silent(abortReason(signal));
    throw signal.aborted ? abortReason(signal) : error;
  } finally {
    signal.removeEventListener("abort", give);
  }
}

async function openSocket(target: MysqlTarget, signal: AbortSignal): Promise<Socket> {
  const { socketPath, host, port } = target;
  const place = { host, port, noDelay: true, keepAlive: true, lookup: lookupFor(target) };
  const socket = connect(socketPath === undefined ? place : { path: socketPath });
  try {
    await once(socket, "connect", { signal });
    // Node compares the certificate with this name, mysql2 has no way to name an address, and without both it is "localhost".
    return Object.assign(socket, { _host: host });
  } catch (error) {
    socket.destroy();
    throw signal.aborted ? abortReason(signal) : error;
  }
}

/** Node tries all addresses of a name, but goes on to the next only where it cannot connect. */
function lookupFor({ silent }: MysqlTarget): LookupFunction {
  return (host, options, callback) => {
    dns.lookup(host, { ...options, all: true }, (error, found) => {
      if (error !== null) {
        callback(error, []); // there is no list then, whatever its type says
        return;
      }
      const order = silent.sort(found.map(({ address }) => address));
      const sorted = found.toSorted((a, b) => order.indexOf(a.address) - order.indexOf(b.address));
      if (options.all === true) callback(null, sorted);
      else callback(null, sorted[0]?.address ?? "", sorted[0]?.family);
    });
  };
}

interface Channel {
  readonly socket: Socket;
  readonly database: string | undefined;
}

function connectionOptions(target: MysqlTarget, { socket, database }: Channel): ConnectionOptions {
  const { user, password, host, socketPath, ssl } = target;
  return {
    stream: () => socket,
    user,
    password,
    host,
    ...(socketPath !== undefined && { socketPath }),
    ...(database !== undefined && { database }),
    ...(ssl !== undefined && { ssl: { ...ssl } }),
    charset: "utf8mb4",
    compress: target.compress,
    enableCleartextPlugin: target.allowCleartextPasswords,
    flags: ["-LOCAL_FILES"],
    multipleStatements: true,
    rowsAsArray: true,
    supportBigNumbers: true,
    trace: false,
  };
}

async function setUp(session: MysqlSession, target: MysqlTarget): Promise<void> {
  const asked = [...target.variables].map(([name, value]) => `SET ${name}=${value}`);
  const names = VARIABLES.map((name) => `'${name}'`).join(",");
  const show = `SHOW VARIABLES WHERE Variable_name IN (${names})`;
  const statements = ["SET autocommit=1", ...asked, show, "SELECT CONNECTION_ID()"];
  const [rows = [], [own] = []] = await session.selectAll(statements).catch((error: unknown) => {
    const isSetting = target.variables.size > 0 && SETTING_REFUSALS.has(errorNumber(error) ?? 0);
    throw isSetting ? refusedSetting(target, error) : error;
  });
  session.serverId = own?.[0] === session.threadId ? session.threadId : undefined;
  session.variables = new Map(rows.map(([name, value]) => [String(name), String(value)]));
  await session.run(ownSettings(session).map((setting) => `SET ${setting}`));
}

/** The server names the variable in most of its errors. */
function refusedSetting({ variables }: MysqlTarget, error: unknown): MysqlError {
  const names = [...variables.keys()];
  const named = names.filter((name) => String(error).includes(`'${name}'`));
  // A syntax error repeats the statement from where it is, with all values of the endpoint that follow.
  const cause =
    errorNumber(error) === SYNTAX_ERROR ? new Error(`The server answers with error ${SYNTAX_ERROR}`) : error;
  return MysqlError.badParameter(named.length > 0 ? named : names, cause);
}

/** Later than what the DSN sets: the statements rely on it. */
export function ownSettings({ variables }: Pick<MysqlSession, "variables">): string[] {
  const settings = [
    "SESSION sql_mode='STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'",
    "SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    `SESSION innodb_lock_wait_timeout=${LOCK_WAIT_SECONDS}`,
    "@k3s_wait_timeout=@@SESSION.wait_timeout",
    "@k3s_lock_wait_timeout=@@SESSION.lock_wait_timeout",
  ];
  // MariaDB 11.8 switches it on; error 1020 for rows that others changed is of no use to statements that ask for no snapshot.
  if (variables.has("innodb_snapshot_isolation")) settings.push("SESSION innodb_snapshot_isolation=OFF");
  // Galera: read nothing that is older than what another node has acknowledged.
  if (variables.get("wsrep_on") === "ON") settings.push("SESSION wsrep_sync_wait=7");
  // A replication group, likewise: the members' own default shows what they have applied so far.
  const consistency = groupConsistency(variables);
  if (consistency !== undefined) settings.push(`SESSION group_replication_consistency='${consistency}'`);
  // MySQL 8 keeps sizes for a day.
  if (variables.has("information_schema_stats_expiry")) settings.push("SESSION information_schema_stats_expiry=0");
  return settings;
}
