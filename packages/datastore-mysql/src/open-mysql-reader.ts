import { abortReason, deadline } from "@k3s/async";
import type { DatabaseReader, SideState } from "@k3s/datastore";
import { describeWeakness, SnapshotReader } from "@k3s/datastore-sql";
import type { Logger } from "@k3s/log";
import { errorNumber } from "./classify.ts";
import { connectLimitMs, connectMysql } from "./connect-mysql.ts";
import { weaknessesOf } from "./durability.ts";
import { MysqlError } from "./errors.ts";
import { MysqlDialect } from "./mysql-dialect.ts";
import type { MysqlSession } from "./mysql-session.ts";
import { describeTarget, resolveMysqlTarget, type MysqlTarget } from "./mysql-target.ts";
import { NO_DATABASE, whenReady, type MysqlDriverOptions } from "./open-mysql-driver.ts";
import { hasUncopiedRows } from "./old-table.ts";
import { toBigint, toLease, toNumber, toSpan, toText } from "./read-rows.ts";
import { assertKnown, hasUnique, isTransactional, layoutOf, NAME_BYTES, readColumns, readEngine } from "./schema.ts";

/** A reader that does not go on for so long loses its session, and others the old state of rows that is kept for it. */
const IDLE_SECONDS = 600;
const SNAPSHOT = [
  `SET SESSION wait_timeout=${IDLE_SECONDS}`,
  "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
  "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
];
const SIDE_TABLES = "'kine_lease','kine_lease_row','kine_span'";
/** Equal states beyond the first of each; NULL equals nothing. */
const COUNT_DUPLICATES = `SELECT SUM(copies-1) FROM (
  SELECT COUNT(*) copies FROM kine k WHERE name IS NOT NULL AND prev_revision IS NOT NULL
  GROUP BY ${NAME_BYTES},prev_revision HAVING COUNT(*)>1) d`;

/**
 * Opens kine's table in MySQL or MariaDB for reading alone, in one read-only transaction; rights to SELECT are enough. Waits for a server
 * that cannot be reached, until `signal` aborts. Rejects with MysqlDsnError, or MysqlError also when there is no such database or table.
 */
export async function openMysqlReader(options: Omit<MysqlDriverOptions, "pool">): Promise<DatabaseReader> {
  const { dsn, tls = {}, log, signal } = options;
  const target = await resolveMysqlTarget(dsn, tls);
  return whenReady(target, { log, signal }, (stop) => open(target, log, stop));
}

async function open(target: MysqlTarget, log: Logger, signal: AbortSignal): Promise<DatabaseReader> {
  const session = await connectExisting(target, signal);
  const giveUp = () => session.destroy(abortReason(signal));
  signal.addEventListener("abort", giveUp, { once: true });
  try {
    await session.run(SNAPSHOT);
    const columns = await readColumns(session);
    if (await hasUncopiedRows(session, { hasKine: columns.length > 0 }))
      throw MysqlError.notCopied(target.database, describeTarget(target));
    if (columns.length === 0)
      throw MysqlError.absent(`table kine in database "${target.database}"`, describeTarget(target), undefined);
    assertKnown(columns);
    const dialect = new MysqlDialect({ target, layout: layoutOf(columns, log), log });
    const queries = {
      product: dialect.product,
      heads: dialect.heads.bind(dialect),
      values: dialect.values.bind(dialect),
      size: dialect.size.bind(dialect),
      side: readSide,
    };
    return new SnapshotReader({ session, queries, findings: findProblems });
  } catch (error) {
    await session.end();
    throw error;
  } finally {
    signal.removeEventListener("abort", giveUp);
  }
}

async function connectExisting(target: MysqlTarget, signal: AbortSignal): Promise<MysqlSession> {
  const { database } = target;
  using limit = deadline(connectLimitMs(target), "Connecting to the database", signal);
  try {
    return await connectMysql(target, { database, signal: limit });
  } catch (error) {
    if (errorNumber(error) !== NO_DATABASE) throw signal.aborted ? abortReason(signal) : error;
    throw MysqlError.absent(`database "${database}"`, describeTarget(target), error);
  }
}

async function findProblems(session: MysqlSession): Promise<readonly string[]> {
  const findings = weaknessesOf(session.variables).map(describeWeakness);
  const engine = await readEngine(session);
  if (!isTransactional(engine)) findings.push(`table kine has the storage engine ${engine}, which a server refuses`);
  if (await hasUnique(session)) return findings;
  const [row] = await session.select(COUNT_DUPLICATES);
  const duplicates = toNumber(row?.[0]);
  findings.push("table kine has no unique index on name and prev_revision; a server makes it when it starts");
  if (duplicates > 0) findings.push(`${duplicates} rows are there twice; a server removes the older of each two`);
  return findings;
}

/** As of the moment of the transaction; nothing where only kine has used the database. */
async function readSide(session: MysqlSession): Promise<SideState> {
  const tables = await session.select(
    `SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA=DATABASE() AND TABLE_NAME IN (${SIDE_TABLES})`,
  );
  const known = new Set(tables.map(([name]) => toText(name).toLowerCase()));
  const all = async (table: string, columns: string) =>
    known.has(table) ? await session.select(`SELECT ${columns} FROM ${table} ORDER BY 1`) : [];
  const leases = await all("kine_lease", "id,ttl,expires_at");
  const rowLeases = await all("kine_lease_row", "row_id,lease");
  const spans = (await all("kine_span", "first_id,last_id")).map(toSpan).sort((a, b) => a.last - b.last);
  const entries = rowLeases.map(([row, lease]) => [toNumber(row), toBigint(lease)] as const);
  return { leases: leases.map(toLease), rowLeases: new Map(entries), spans };
}
