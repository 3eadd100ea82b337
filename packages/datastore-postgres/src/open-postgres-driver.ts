import { deadline } from "@k3s/async";
import type { Driver } from "@k3s/datastore";
import { openPatiently, SqlDriver, type PoolOptions } from "@k3s/datastore-sql";
import type { Logger } from "@k3s/log";
import { sqlState } from "./classify.ts";
import {
  connectLimitMs,
  connectPostgres,
  CROWDED,
  findPlace,
  NO_DATABASE,
  writablePlace,
  type PostgresPlace,
} from "./connect-postgres.ts";
import { describeHost } from "./connect-targets.ts";
import { PostgresError } from "./errors.ts";
import { ForeignServer } from "./foreign-server.ts";
import { parsePostgresDsn, type PostgresSettings } from "./parse-postgres-dsn.ts";
import { PostgresDialect } from "./postgres-dialect.ts";
import type { PostgresEnvironment } from "./postgres-environment.ts";
import type { PostgresSession } from "./postgres-session.ts";
import { prepareSchema, type TableLayout } from "./schema.ts";

export interface PostgresDriverOptions {
  /** `postgres://` or `postgresql://` and what follows; empty: kine's default. */
  readonly dsn: string;
  readonly tls?: NonNullable<PostgresEnvironment["tls"]>;
  readonly pool?: PoolOptions;
  /** Environment variables, of which those of PostgreSQL's own clients count. */
  readonly env: PostgresEnvironment["env"];
  readonly log: Logger;
  /** Ends the wait for a database that is not there yet. */
  readonly signal: AbortSignal;
}

/** Where a database is made from, as kine does. */
const MAINTENANCE_DATABASE = "postgres";

// duplicate_database, unique_violation: another server was faster.
const DATABASE_EXISTS = new Set(["42P04", "23505"]);
// invalid_password, invalid_authorization_specification, insufficient_privilege
const REFUSALS = new Set(["28P01", "28000", "42501"]);
// Another server, or kine, makes the same tables: unique_violation, duplicate_table, duplicate_object, lock_not_available,
// deadlock_detected, serialization_failure, object_in_use.
const RACES = new Set(["23505", "42P07", "42710", "55P03", "40P01", "40001", "55006"]);
/** The server may come, another program may leave its port, others may leave the server, and one that stops hangs up. */
const PASSING: ReadonlySet<string> = new Set([
  ...["ERR_POSTGRES_UNREACHABLE", "ERR_POSTGRES_FOREIGN"],
  ...["ERR_POSTGRES_CROWDED", "ERR_POSTGRES_DIRECT_TLS"],
]);
/** OpenSSL's and Node's words for a certificate that fails verification. */
const UNTRUSTED = /CERT|SELF_SIGNED|UNABLE_TO_|ERR_TLS|ERR_SSL/;

/**
 * Opens kine's table in PostgreSQL; database and tables are made when missing. Waits for a server that cannot be reached, until
 * `signal` aborts. Rejects with PostgresError.
 */
export async function openPostgresDriver(options: PostgresDriverOptions): Promise<Driver> {
  const { dsn, tls = {}, pool, env, log, signal } = options;
  const settings = parsePostgresDsn(dsn, { env, tls });
  const place = writablePlace(await findPlace(settings));
  const layout = await whenReady(settings, { log, signal }, (stop) => prepare(place, log, stop));
  const dialect = new PostgresDialect({ place, layout, log });
  return new SqlDriver({ dialect, log, ...(pool !== undefined && { pool }) });
}

/** Asks again where the server cannot be reached. Rejects with PostgresError. */
export function whenReady<T>(
  settings: PostgresSettings,
  { log, signal }: Pick<PostgresDriverOptions, "log" | "signal">,
  open: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const server = describe(settings);
  const explain = (error: unknown) => toOpenError(error, server);
  return openPatiently(open, { server, explain, passing: PASSING, log, signal });
}

async function prepare(place: PostgresPlace, log: Logger, signal: AbortSignal): Promise<TableLayout> {
  const session = await connectOrCreate(place, signal);
  const giveUp = () => session.destroy(new Error("The wait for the database was ended"));
  signal.addEventListener("abort", giveUp, { once: true });
  try {
    if (session.isReadOnly) throw PostgresError.readOnly(describe(place.settings));
    return await prepareSchema(session, log);
  } catch (error) {
    const state = sqlState(error);
    const isRefused = state !== undefined && !RACES.has(state) && !session.lost.aborted;
    throw isRefused ? PostgresError.noSchema(error) : error;
  } finally {
    signal.removeEventListener("abort", giveUp);
    await session.end();
  }
}

async function connectOrCreate(place: PostgresPlace, signal: AbortSignal): Promise<PostgresSession> {
  const { database } = place.settings;
  try {
    return await connectPostgres(place, { database, signal });
  } catch (error) {
    if (sqlState(error) !== NO_DATABASE) throw error;
  }
  await createDatabase(place, signal);
  return connectPostgres(place, { database, signal });
}

/** The collation is that of kine's column, which works with each encoding. */
async function createDatabase(place: PostgresPlace, signal: AbortSignal): Promise<void> {
  const { database } = place.settings;
  using limit = deadline(connectLimitMs(place), "Connecting to the database", signal);
  const session = await connectPostgres(place, { database: MAINTENANCE_DATABASE, signal: limit }).catch(
    (error: unknown) => {
      const state = sqlState(error);
      throw state === undefined || state === CROWDED ? error : PostgresError.noDatabase(database, error);
    },
  );
  try {
    const name = `"${database.replaceAll('"', '""')}"`;
    await session.run(`CREATE DATABASE ${name} ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0`);
  } catch (error) {
    const state = sqlState(error) ?? "";
    if (DATABASE_EXISTS.has(state)) return;
    throw state === "" || RACES.has(state) || session.lost.aborted ? error : PostgresError.noDatabase(database, error);
  } finally {
    await session.end();
  }
}

/** What an operator is told when opening fails. */
function toOpenError(error: unknown, where: string): PostgresError {
  if (error instanceof PostgresError) return error;
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  if (error instanceof ForeignServer) return PostgresError.foreign(where, error);
  if (code === CROWDED) return PostgresError.crowded(where, error);
  const isRefused = REFUSALS.has(code) || UNTRUSTED.test(code);
  return isRefused ? PostgresError.refused(where, error) : PostgresError.unreachable(where, error);
}

/** The hosts, for people. */
export function describe({ hosts }: PostgresSettings): string {
  return hosts.map(describeHost).join(", ");
}
