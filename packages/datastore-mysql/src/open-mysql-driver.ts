import { abortReason, deadline, retry } from "@k3s/async";
import type { Driver } from "@k3s/datastore";
import { SqlDriver, type PoolOptions } from "@k3s/datastore-sql";
import type { Logger } from "@k3s/log";
import { errorNumber } from "./classify.ts";
import { connectLimitMs, connectMysql } from "./connect-mysql.ts";
import { MysqlError } from "./errors.ts";
import { ForeignServer } from "./foreign-server.ts";
import { MysqlDialect } from "./mysql-dialect.ts";
import type { MysqlSession } from "./mysql-session.ts";
import { describeTarget, resolveMysqlTarget, type MysqlTarget, type MysqlTlsFiles } from "./mysql-target.ts";
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

const RETRY_MIN_MS = 100;
const RETRY_MAX_MS = 2000;

/** ER_BAD_DB_ERROR: there is no such database. */
export const NO_DATABASE = 1049;
/** ER_DBACCESS_DENIED, ER_ACCESS_DENIED, ER_ACCESS_DENIED_NO_PASSWORD, ER_HOST_NOT_PRIVILEGED, ER_MUST_CHANGE_PASSWORD_LOGIN */
const REFUSALS = new Set([1044, 1045, 1698, 1130, 1862]);
/** Of mysql2: TLS is wanted, and the server has none. */
const NO_TLS = "HANDSHAKE_NO_SSL_SUPPORT";
/** The server may come, and another program may leave its port. */
const PASSING: ReadonlySet<string> = new Set(["ERR_MYSQL_UNREACHABLE", "ERR_MYSQL_FOREIGN"]);
/** OpenSSL's and Node's words for a certificate that fails verification. */
const UNTRUSTED = /CERT|SELF_SIGNED|UNABLE_TO_|ERR_TLS|ERR_SSL|HANDSHAKE_/;

/**
 * Opens kine's table in MySQL or MariaDB; database and tables are made when missing. Waits for a server that cannot be reached, until
 * `signal` aborts. Rejects with MysqlDsnError or MysqlError.
 */
export async function openMysqlDriver(options: MysqlDriverOptions): Promise<Driver> {
  const { dsn, tls = {}, pool, pollMs, log, signal } = options;
  const target = await resolveMysqlTarget(dsn, tls);
  const layout = await retry((stop) => prepare(target, log, stop), retryPolicy(target, log), signal).catch(
    (error: unknown) => {
      throw toOpenError(error, describeTarget(target));
    },
  );
  return new SqlDriver({
    dialect: new MysqlDialect({ target, layout, log }),
    log,
    ...(pool !== undefined && { pool }),
    ...(pollMs !== undefined && { pollMs }),
  });
}

/** Only a server that cannot be reached is asked again. */
export function retryPolicy(target: MysqlTarget, log: Logger) {
  const server = describeTarget(target);
  return {
    delayMinMs: RETRY_MIN_MS,
    delayMaxMs: RETRY_MAX_MS,
    isRetryable: (error: unknown) => PASSING.has(toOpenError(error, server).code),
    onRetry: (error: unknown, attempt: number) => {
      if (attempt === 3) log.warn({ server, error, hint: toOpenError(error, server).hint }, "waiting for the database");
    },
  };
}

async function prepare(target: MysqlTarget, log: Logger, signal: AbortSignal): Promise<TableLayout> {
  const session = await connectOrCreate(target, signal);
  try {
    checkServer(session.variables, log);
    return await prepareSchema(session, log);
  } finally {
    await session.end();
  }
}

async function connectOrCreate(target: MysqlTarget, signal: AbortSignal): Promise<MysqlSession> {
  const { database } = target;
  using limit = deadline(connectLimitMs(target), "Connecting to the database", signal);
  try {
    return await connectMysql(target, { database, signal: limit });
  } catch (error) {
    if (errorNumber(error) !== NO_DATABASE) throw signal.aborted ? abortReason(signal) : error;
  }
  const session = await connectMysql(target, { database: undefined, signal: limit });
  try {
    await session.run([`CREATE DATABASE IF NOT EXISTS ${identifier(database)}`, `USE ${identifier(database)}`]);
    return session;
  } catch (error) {
    await session.end();
    throw error;
  }
}

/** What an operator is told when opening fails. */
export function toOpenError(error: unknown, where: string): MysqlError {
  if (error instanceof MysqlError) return error;
  if (REFUSALS.has(errorNumber(error) ?? 0)) return MysqlError.refused(where, error);
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  if (error instanceof ForeignServer) return MysqlError.foreign(where, error);
  if (code === NO_TLS) return MysqlError.noTls(where, error);
  return UNTRUSTED.test(code) ? MysqlError.untrusted(where, error) : MysqlError.unreachable(where, error);
}
