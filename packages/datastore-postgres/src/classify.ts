import type { FailureKind } from "@k3s/datastore-sql";
import { UnwantedServer } from "./unwanted-server.ts";

/** SQLSTATE of an error of the server; undefined for errors of the connection. */
export function sqlState(error: unknown): string | undefined {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  // Node's codes, such as EPIPE, have no digit.
  return typeof code === "string" && /^(?=.*[0-9])[0-9A-Z]{5}$/.test(code) ? code : undefined;
}

// Codes of PostgreSQL's appendix A, "PostgreSQL Error Codes".
const KINDS: Readonly<Record<string, FailureKind>> = {
  "23505": "conflict", // unique_violation
  "25006": "readOnly", // read_only_sql_transaction
  "40001": "retry", // serialization_failure
  "40P01": "retry", // deadlock_detected
  "55P03": "retry", // lock_not_available, after lock_timeout
  "53100": "noSpace", // disk_full
  "23514": "refused", // check_violation
  "54000": "refused", // program_limit_exceeded: too long for an index
};
/** Data exceptions: too long, out of range, or not to be had in the database's encoding. */
const DATA = /^22/;

/** What an error means to the store. */
export function classify(error: unknown): FailureKind {
  if (error instanceof UnwantedServer) return "readOnly";
  const state = sqlState(error) ?? "";
  return KINDS[state] ?? (DATA.test(state) ? "refused" : "failed");
}

// admin_shutdown, crash_shutdown, cannot_connect_now, database_dropped, idle_session_timeout, idle_in_transaction_session_timeout:
// the last word of a connection. feature_not_supported and invalid_sql_statement_name: a prepared statement does not go with the table
// any more, or is gone, which only a new session mends.
const GOODBYES: ReadonlySet<string> = new Set([
  ...["57P01", "57P02", "57P03", "57P04", "57P05", "25P03"],
  ...["0A000", "26000"],
]);

/** Whether the session is of no use after this error. */
export function endsSession(error: unknown): boolean {
  const state = sqlState(error);
  return state === undefined || GOODBYES.has(state) || state.startsWith("08");
}
