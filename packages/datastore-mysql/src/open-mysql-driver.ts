import { abortReason, deadline } from "@k3s/async";
import type { Driver } from "@k3s/datastore";
import { openPatiently, SqlDriver, type PoolOptions } from "@k3s/datastore-sql";
import type { Logger } from "@k3s/log";
import { errorNumber } from "./classify.ts";
import { connectLimitMs, connectMysql } from "./connect-mysql.ts";
import { MysqlDialect } from "./mysql-dialect.ts";
import type { MysqlSession } from "./mysql-session.ts";
import { describeTarget, resolveMysqlTarget, type MysqlTarget, type MysqlTlsFiles } from "./mysql-target.ts";
import { PASSING, toOpenError } from "./open-error.ts";
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
