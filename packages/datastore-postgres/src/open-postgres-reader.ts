import type { DatabaseReader } from "@k3s/datastore";
import { describeWeakness, SnapshotReader } from "@k3s/datastore-sql";
import type { Logger } from "@k3s/log";
import { sqlState } from "./classify.ts";
import { connectPostgres, findPlace, NO_DATABASE, type PostgresPlace } from "./connect-postgres.ts";
import { weaknessesOf } from "./durability.ts";
import { PostgresError } from "./errors.ts";
import { describe, whenReady, type PostgresDriverOptions } from "./open-postgres-driver.ts";
import { hasUncopiedRows } from "./old-table.ts";
import { parsePostgresDsn } from "./parse-postgres-dsn.ts";
import type { PostgresSession } from "./postgres-session.ts";
import { readHeads, readSideInTransaction, readSize, readValues } from "./reading.ts";
import { readSchema } from "./schema.ts";

/** A reader that does not go on for so long loses its session, and with it what the server keeps for it. */
const IDLE_MS = 600_000;
const SNAPSHOT = `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
  SET LOCAL idle_in_transaction_session_timeout = ${IDLE_MS}`;
/** Equal states beyond the first of each; NULL equals nothing. */
const COUNT_DUPLICATES = {
  text: `SELECT sum(copies - 1)::bigint FROM (
           SELECT count(*) AS copies FROM kine WHERE name IS NOT NULL AND prev_revision IS NOT NULL
           GROUP BY name, prev_revision HAVING count(*) > 1) AS d`,
};
const QUERIES = {
  product: "PostgreSQL",
  heads: readHeads,
  values: readValues,
  size: readSize,
  side: readSideInTransaction,
};

/**
 * Opens kine's table in PostgreSQL for reading alone, in one read-only transaction; rights to SELECT are enough, and a standby will do.
 * Waits for a server that cannot be reached, until `signal` aborts. Rejects with PostgresError, also when there is no such database or table.
 */
export async function openPostgresReader(options: Omit<PostgresDriverOptions, "pool">): Promise<DatabaseReader> {
  const { dsn, tls = {}, env, log, signal } = options;
  const settings = parsePostgresDsn(dsn, { env, tls });
  const place = await findPlace(settings);
  return whenReady(settings, { log, signal }, (stop) => open(place, log, stop));
}

async function open(place: PostgresPlace, log: Logger, signal: AbortSignal): Promise<DatabaseReader> {
  const session = await connectExisting(place, signal);
  const giveUp = () => session.destroy(new Error("The wait for the database was ended"));
  signal.addEventListener("abort", giveUp, { once: true });
  try {
    await session.run(SNAPSHOT);
    const { database } = place.settings;
    const schema = await readSchema(session, log);
    if (await hasUncopiedRows(session, { hasKine: schema !== undefined }))
      throw PostgresError.notCopied(database, describe(place.settings));
    if (schema === undefined)
      throw PostgresError.absent(`table kine in database "${database}"`, describe(place.settings), undefined);
    const weaknesses = weaknessesOf(session).map(describeWeakness);
    const findings = async (): Promise<readonly string[]> => [
      ...weaknesses,
      ...(schema.hasUnique ? [] : await findDuplicates(session)),
    ];
    return new SnapshotReader({ session, queries: QUERIES, findings });
  } catch (error) {
    await session.end();
    throw error;
  } finally {
    signal.removeEventListener("abort", giveUp);
  }
}

async function connectExisting(place: PostgresPlace, signal: AbortSignal): Promise<PostgresSession> {
  const { database } = place.settings;
  try {
    return await connectPostgres(place, { database, signal });
  } catch (error) {
    if (sqlState(error) !== NO_DATABASE) throw error;
    throw PostgresError.absent(`database "${database}"`, describe(place.settings), error);
  }
}

async function findDuplicates(session: PostgresSession): Promise<readonly string[]> {
  const [row] = await session.query(COUNT_DUPLICATES);
  const duplicates = Number(row?.[0] ?? 0);
  return [
    "table kine has no unique index on name and prev_revision; a server makes it when it starts",
    ...(duplicates > 0 ? [`${duplicates} rows are there twice; a server removes the older of each two`] : []),
  ];
}
