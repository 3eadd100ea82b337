import type { FailureKind } from "@k3s/datastore-sql";

// Numbers of MySQL's and MariaDB's server errors.
const KINDS: Readonly<Record<number, FailureKind>> = {
  1062: "conflict", // ER_DUP_ENTRY
  1586: "conflict", // ER_DUP_ENTRY_WITH_KEY_NAME
  1020: "retry", // ER_CHECKREAD: the row changed since it was read
  1205: "retry", // ER_LOCK_WAIT_TIMEOUT
  1213: "retry", // ER_LOCK_DEADLOCK, also the loser of two Galera nodes
  1412: "retry", // ER_TABLE_DEF_CHANGED
  3101: "retry", // ER_TRANSACTION_ROLLBACK_DURING_COMMIT, the loser in a replication group
  1118: "refused", // ER_TOO_BIG_ROWSIZE
  1264: "refused", // ER_WARN_DATA_OUT_OF_RANGE
  1300: "refused", // ER_INVALID_CHARACTER_STRING
  1366: "refused", // ER_TRUNCATED_WRONG_VALUE_FOR_FIELD: signs that the column's character set does not have
  1406: "refused", // ER_DATA_TOO_LONG
  3819: "refused", // ER_CHECK_CONSTRAINT_VIOLATED of MySQL
  4025: "refused", // ER_CONSTRAINT_FAILED of MariaDB
  1021: "noSpace", // ER_DISK_FULL
  1114: "noSpace", // ER_RECORD_FILE_FULL
  1290: "readOnly", // ER_OPTION_PREVENTS_STATEMENT, --read-only
  1792: "readOnly", // ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION
  1836: "readOnly", // ER_READ_ONLY_MODE
};

/**
 * ER_SERVER_SHUTDOWN, ER_QUERY_INTERRUPTED, ER_CONNECTION_KILLED, ER_SESSION_WAS_KILLED, ER_CLIENT_INTERACTION_TIMEOUT (MySQL says so when
 * wait_timeout is over, MariaDB just closes): the last word of a connection.
 */
const GOODBYES: ReadonlySet<number> = new Set([1053, 1317, 1927, 3169, 4031]);

/** Whether the server ends the connection with this error, although it is still open. */
export function endsConnection(error: unknown): boolean {
  return GOODBYES.has(errorNumber(error) ?? 0);
}

/** Errors of files that the server passes on, with the operating system's number in the text. */
const NO_SPACE = /\b(?:errno|error|errcode):? "?(?:28|122)\b|no space left on device|disk quota exceeded/i;

/** What an error of the client library or of the server means for whoever asked. */
export function classify(error: unknown): FailureKind {
  const number = errorNumber(error);
  const kind = number === undefined ? undefined : KINDS[number];
  if (kind !== undefined) return kind;
  return number !== undefined && error instanceof Error && NO_SPACE.test(error.message) ? "noSpace" : "failed";
}

/** The server's number of an error; undefined when it is none of the server's. */
export function errorNumber(error: unknown): number | undefined {
  if (!(error instanceof Error && "errno" in error && typeof error.errno === "number")) return undefined;
  return error.errno > 0 ? error.errno : undefined; // negative ones are the operating system's
}

/** ER_TABLEACCESS_DENIED_ERROR, ER_COLUMNACCESS_DENIED_ERROR, ER_SPECIFIC_ACCESS_DENIED_ERROR, ER_PROCACCESS_DENIED_ERROR. */
const LACKING: ReadonlySet<number> = new Set([1142, 1143, 1227, 1370]);

/** Whether the user lacks a privilege for the statement. */
export function lacksPrivilege(error: unknown): boolean {
  return LACKING.has(errorNumber(error) ?? 0);
}

/** Whether the server does not do such a thing at all, or not for this user: neither the rows nor the tables are to blame. */
export function isForbidden(error: unknown): boolean {
  return lacksPrivilege(error) || classify(error) === "readOnly";
}

/** Whether the same can work on another connection, or later. */
export function isPassing(error: unknown): boolean {
  return errorNumber(error) === undefined || classify(error) === "retry" || endsConnection(error);
}
