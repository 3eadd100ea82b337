import { abortReason, deadline } from "@k3s/async";
import type { Driver } from "@k3s/datastore";
import { openPatiently, SqlDriver, TookTooLong, type PoolOptions } from "@k3s/datastore-sql";
import type { Logger } from "@k3s/log";
import { errorNumber } from "./classify.ts";
import { connectLimitMs, connectMysql } from "./connect-mysql.ts";
import { MysqlError } from "./errors.ts";
import { ForeignServer } from "./foreign-server.ts";
import { MysqlDialect } from "./mysql-dialect.ts";
import type { MysqlSession } from "./mysql-session.ts";
import { describeTarget, resolveMysqlTarget, type MysqlTarget, type MysqlTlsFiles } from "./mysql-target.ts";
import { limitLockWaits, runSoon } from "./opening-limits.ts";
import { prepareSchema, type TableLayout } from "./schema.ts";
import { checkServer } from "./server-check.ts";
import { identifier } from "./sql-text.ts";

export interface MysqlDriverOptions {
  /** What stands behind `mysql://`; empty: kine's default. */
  readonly dsn: string;
  readonly tls?: MysqlTlsFiles;
  readonly pool?: PoolOptions;
  /** As that of `SqlDriver`. */
  readonly pollMs?: number;
  readonly log: Logger;
  /** Ends the wait for a database that is not there yet. */
  readonly signal: AbortSignal;
}

/** ER_BAD_DB_ERROR: there is no such database. */
export const NO_DATABASE = 1049;
/**
 * ER_DBACCESS_DENIED, ER_ACCESS_DENIED, ER_ACCESS_DENIED_NO_PASSWORD, ER_HOST_NOT_PRIVILEGED, ER_MUST_CHANGE_PASSWORD,
 * ER_MUST_CHANGE_PASSWORD_LOGIN, ER_PLUGIN_IS_NOT_LOADED (the account's: MySQL 9 has no mysql_native_password)
 */
const COMMON_REFUSALS = [1044, 1045, 1698, 1130, 1820, 1862, 1524];
/** ER_ACCOUNT_HAS_BEEN_LOCKED, ER_USER_ACCESS_DENIED_FOR_USER_ACCOUNT_BLOCKED_BY_PASSWORD_LOCK, ER_SECURE_TRANSPORT_REQUIRED */
const MYSQL_REFUSALS = [3118, 3955, 3159];
/** ER_ACCOUNT_HAS_BEEN_LOCKED, ER_USER_IS_BLOCKED: MySQL has other errors under these numbers, for statements that are not ours. */
const MARIADB_REFUSALS = [4151, 4150];
const REFUSALS = new Set([...COMMON_REFUSALS, ...MYSQL_REFUSALS, ...MARIADB_REFUSALS]);
/** ER_LOCK_WAIT_TIMEOUT: on rows or on tables. */
const LOCKED = 1205;
/** Of mysql2: TLS is wanted, and the server has none. */
const NO_TLS = "HANDSHAKE_NO_SSL_SUPPORT";
/** The server may come, another program may leave its port, and a backup may end. */
const PASSING: ReadonlySet<string> = new Set(["ERR_MYSQL_UNREACHABLE", "ERR_MYSQL_FOREIGN", "ERR_MYSQL_BUSY"]);
/** OpenSSL's and Node's words for a certificate that fails verification. */
const UNTRUSTED = /CERT|SELF_SIGNED|UNABLE_TO_|ERR_TLS|ERR_SSL|HANDSHAKE_/;

/**
 * Opens kine's table in MySQL or MariaDB; database and tables are made when missing. Waits for a server that cannot be reached, until
 * `signal` aborts. Rejects with MysqlDsnError or MysqlError.
 */
export async function openMysqlDriver(options: MysqlDriverOptions): Promise<Driver> {
  const { dsn, tls = {}, pool, pollMs, log, signal } = options;
  const target = await resolveMysqlTarget(dsn, tls);
  const layout = await whenReady(target, { log, signal }, (stop) => prepare(target, log, stop));
  return new SqlDriver({
    dialect: new MysqlDialect({ target, layout, log }),
    log,
    ...(pool !== undefined && { pool }),
    ...(pollMs !== undefined && { pollMs }),
  });
}

/** Asks again where the server cannot be reached, or keeps us waiting. Rejects with MysqlError. */
export function whenReady<T>(
  target: MysqlTarget,
  { log, signal }: Pick<MysqlDriverOptions, "log" | "signal">,
  open: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const server = describeTarget(target);
  const explain = (error: unknown) => toOpenError(error, server);
  return openPatiently(open, { server, explain, passing: PASSING, log, signal });
}

async function prepare(target: MysqlTarget, log: Logger, signal: AbortSignal): Promise<TableLayout> {
  const { session, isMissing } = await connectToOpen(target, signal);
  const giveUp = () => session.destroy(abortReason(signal));
  signal.addEventListener("abort", giveUp, { once: true });
  try {
    checkServer(session.variables, log);
    await limitLockWaits(session);
    if (isMissing) await createDatabase(session, target);
    return await prepareSchema(session, log);
  } finally {
    signal.removeEventListener("abort", giveUp);
    await session.end();
  }
}

interface Opening {
  readonly session: MysqlSession;
  /** The database is not there, and none is chosen. */
  readonly isMissing: boolean;
}

async function connectToOpen(target: MysqlTarget, signal: AbortSignal): Promise<Opening> {
  const { database } = target;
  using limit = deadline(connectLimitMs(target), "Connecting to the database", signal);
  try {
    return { session: await connectMysql(target, { database, signal: limit }), isMissing: false };
  } catch (error) {
    if (errorNumber(error) !== NO_DATABASE) throw signal.aborted ? abortReason(signal) : error;
  }
  return { session: await connectMysql(target, { database: undefined, signal: limit }), isMissing: true };
}

async function createDatabase(session: MysqlSession, { database }: MysqlTarget): Promise<void> {
  const name = identifier(database);
  await runSoon(session, () => session.run([`CREATE DATABASE IF NOT EXISTS ${name}`, `USE ${name}`]));
}

/** What an operator is told when opening fails. */
function toOpenError(error: unknown, where: string): MysqlError {
  if (error instanceof MysqlError) return error;
  if (errorNumber(error) === LOCKED || error instanceof TookTooLong) return MysqlError.busy(where, error);
  if (REFUSALS.has(errorNumber(error) ?? 0)) return MysqlError.refused(where, error);
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  if (error instanceof ForeignServer) return MysqlError.foreign(where, error);
  if (code === NO_TLS) return MysqlError.noTls(where, error);
  return UNTRUSTED.test(code) ? MysqlError.untrusted(where, error) : MysqlError.unreachable(where, error);
}
