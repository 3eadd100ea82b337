import { abortReason, deadline } from "@k3s/async";
import { SilentHosts } from "@k3s/datastore-sql";
import { sqlState } from "./classify.ts";
import { connectTargets, describeHost, type ConnectTarget } from "./connect-targets.ts";
import { DURABILITY, parseDurability } from "./durability.ts";
import { PostgresError } from "./errors.ts";
import { UnknownLogin } from "./login.ts";
import { UnwantedServer } from "./unwanted-server.ts";
import type { PostgresSettings, SessionKind } from "./parse-postgres-dsn.ts";
import { PostgresSession } from "./postgres-session.ts";

/** A server, or several of which one is wanted, and all ways to them. */
export interface PostgresPlace {
  readonly settings: PostgresSettings;
  readonly targets: readonly ConnectTarget[];
  readonly silent: SilentHosts<ConnectTarget>;
}

/** Reads the files of TLS. Rejects with PostgresError. */
export async function findPlace(settings: PostgresSettings): Promise<PostgresPlace> {
  return {
    settings,
    targets: await connectTargets(settings),
    silent: new SilentHosts<ConnectTarget>({ nameOf: describeHost }),
  };
}

/**
 * The same place for a driver that writes. Of several hosts each of its connections is to one that takes writes, also where the string
 * allows another: a standby does not have all that was acknowledged, and may take the place of a primary at any time.
 */
export function writablePlace(place: PostgresPlace): PostgresPlace {
  const { hosts, sessionKind } = place.settings;
  if (hosts.length === 1 || sessionKind === "primary") return place;
  return { ...place, settings: { ...place.settings, sessionKind: "read-write" } };
}

interface ConnectOptions {
  readonly database: string;
  /** Gives up, with its reason. */
  readonly signal: AbortSignal;
}

/** For one host, where the string does not say. */
const CONNECT_LIMIT_MS = 5000;
/** A lock is waited for this long: longer than anybody may keep it, shorter than a commit may take. */
export const LOCK_WAIT_MS = 3000;
/** A server of ours that stops while it has the lock loses its connection, and with it the lock. */
const IDLE_WITH_LOCK_MS = 3000;

/** invalid_catalog_name: there is no such database. */
export const NO_DATABASE = "3D000";
/** too_many_connections: of the server, the database or the user. */
export const CROWDED = "53300";
// invalid_password, insufficient_privilege: another way to the same server does not help.
const FINAL = new Set(["28P01", "42501"]);

// undefined_object, invalid_parameter_value, cant_change_runtime_param: of the session, before anything else is asked of it.
const SETTING_REFUSALS = new Set(["42704", "22023", "55P02"]);
/** The library's words; it has no codes for them. The second are for SCRAM: in other methods the server refuses an empty password itself. */
const NO_TLS = "The server does not support SSL connections";
const NO_PASSWORD = "client password must be a non-empty string";
const MANY_ROUNDS = "exceeds scramMaxIterations";
/** Node's words; its code is that of any other connection that ends. */
const HANG_UP = "Client network socket disconnected before secure TLS connection was established";

/**
 * Later than what the string sets: the statements rely on it, and what is answered has to be on the disk. `jit` costs more than it gives, and
 * is not everywhere. A plan that was made to read the whole of a table, when it was small, stays until the server looks at its size anew.
 */
const OWN_SETTINGS = `SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED;
  SET lock_timeout = ${LOCK_WAIT_MS};
  SET idle_in_transaction_session_timeout = ${IDLE_WITH_LOCK_MS};
  SELECT set_config(name, 'off', false) FROM pg_settings WHERE name IN ('jit', 'enable_seqscan');
  SELECT set_config(name, 'on', false) FROM pg_settings WHERE name = 'synchronous_commit' AND setting = 'off'`;
const ASKED_SETTINGS = {
  text: "SELECT set_config(name, value, false) FROM unnest($1::text[], $2::text[]) AS p (name, value)",
};
/** Given to the server with the connection itself. */
const STARTUP = new Set(["application_name", "options"]);
const STATE = {
  text:
    "SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = 'on', pg_backend_pid(), " +
    "(SELECT backend_start::text FROM pg_stat_activity WHERE pid = pg_backend_pid()), " +
    DURABILITY,
};

/** How long connecting may take with all hosts, in ms. */
export function connectLimitMs({ settings }: PostgresPlace): number {
  return hostLimitMs(settings) * settings.hosts.length;
}

/**
 * Connects to the first server that answers and is of the wanted kind, and sets the session up. Rejects with the library's error,
 * UnwantedServer, PostgresError, or the reason of the signal.
 */
export async function connectPostgres(place: PostgresPlace, options: ConnectOptions): Promise<PostgresSession> {
  const { sessionKind } = place.settings;
  if (sessionKind !== "prefer-standby") return connectAny(place, options, sessionKind);
  return connectAny(place, options, "standby").catch((error: unknown) => {
    if (error instanceof UnwantedServer) return connectAny(place, options, "any");
    throw error;
  });
}

async function connectAny(place: PostgresPlace, options: ConnectOptions, kind: SessionKind): Promise<PostgresSession> {
  let told: unknown;
  let withoutTls = 0;
  for (const target of place.silent.inOrder(place.targets)) {
    try {
      return await connectOne({ ...place, ...options, target, kind });
    } catch (error) {
      if (options.signal.aborted || isFinal(error, kind)) throw error;
      if (error instanceof Error && error.message === NO_TLS) withoutTls++;
      if (rank(error) >= rank(told)) told = error;
    }
  }
  const { hosts, sslMode } = place.settings;
  if (withoutTls < place.targets.length) throw told;
  throw PostgresError.noTls(hosts.map(describeHost).join(", "), sslMode, told);
}

interface Attempt extends PostgresPlace, ConnectOptions {
  readonly target: ConnectTarget;
  readonly kind: SessionKind;
}

async function connectOne({ settings, silent, target, database, signal, kind }: Attempt): Promise<PostgresSession> {
  using limit = deadline(hostLimitMs(settings), "Connecting to PostgreSQL", signal);
  let session: PostgresSession | undefined;
  const giveUp = () => session?.destroy(abortReason(limit));
  limit.addEventListener("abort", giveUp, { once: true });
  try {
    session = await PostgresSession.connect({ settings, target, database }, limit);
    await setUp(session, settings);
    assertWanted(session, kind);
    return session;
  } catch (error) {
    session?.destroy(new Error("The session is of no use"));
    if (limit.aborted && !signal.aborted) silent.note(target);
    if (limit.aborted) throw abortReason(limit);
    if (settings.isTlsDirect && isHangUp(error)) throw PostgresError.noDirectTls(describeHost(target), error);
    throw toRefusal(error, describeHost(target)) ?? error;
  } finally {
    limit.removeEventListener("abort", giveUp);
  }
}

function isHangUp(error: unknown): boolean {
  return error instanceof Error && error.message === HANG_UP;
}

/** What an operator is told where the endpoint itself has to be mended. */
function toRefusal(error: unknown, where: string): PostgresError | undefined {
  if (SETTING_REFUSALS.has(sqlState(error) ?? "")) return PostgresError.badParameter(where, error);
  if (error instanceof UnknownLogin) return PostgresError.login(where, error.method, error);
  if (!(error instanceof Error)) return undefined;
  if (error.message.includes(MANY_ROUNDS)) return PostgresError.scramRounds(where, error);
  return error.message.endsWith(NO_PASSWORD) ? PostgresError.noPassword(where, error) : undefined;
}

async function setUp(session: PostgresSession, { parameters }: PostgresSettings): Promise<void> {
  const asked = Object.entries(parameters).filter(([name]) => !STARTUP.has(name));
  if (asked.length > 0)
    await session.query(ASKED_SETTINGS, [asked.map(([name]) => name), asked.map(([, value]) => value)]);
  await session.run(OWN_SETTINGS);
  const [row] = await session.query(STATE);
  const [, , pid, startedAt] = row ?? [];
  session.isDirect &&= pid === session.greetedPid;
  if (session.isDirect && typeof pid === "number" && typeof startedAt === "string")
    session.backend = { pid, startedAt };
  session.isStandby = row?.[0] === true;
  session.isReadOnly = row?.[1] === true;
  session.durability = parseDurability(row?.[4]);
}

function assertWanted({ isStandby, isReadOnly }: PostgresSession, kind: SessionKind): void {
  const isWanted = {
    any: true,
    "read-write": !isReadOnly,
    "read-only": isReadOnly,
    primary: !isStandby,
    standby: isStandby,
    "prefer-standby": true,
  }[kind];
  if (!isWanted) throw new UnwantedServer(kind);
}

function hostLimitMs({ connectTimeoutMs }: PostgresSettings): number {
  return connectTimeoutMs > 0 ? connectTimeoutMs : CONNECT_LIMIT_MS;
}

/** A database is not missing because a standby does not have it yet. */
function isFinal(error: unknown, kind: SessionKind): boolean {
  const state = sqlState(error) ?? "";
  return FINAL.has(state) || (state === NO_DATABASE && kind === "any");
}

/** What a server said tells more than that another one was not there, and a database that is missing can be made. */
function rank(error: unknown): number {
  if (sqlState(error) === NO_DATABASE) return 2;
  return isWord(error) ? 1 : 0;
}

function isWord(error: unknown): boolean {
  return sqlState(error) !== undefined || error instanceof UnwantedServer || error instanceof PostgresError;
}
