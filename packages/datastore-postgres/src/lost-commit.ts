import { sleep } from "@k3s/async";
import type { CommitBatch } from "@k3s/datastore";
import { gapName } from "@k3s/datastore-sql";
import { sqlState } from "./classify.ts";
import { LOCK } from "./commit-statement.ts";
import type { PostgresSession } from "./postgres-session.ts";

const END_BACKEND = {
  name: "end-backend",
  text: `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1 AND backend_start::text = $2`,
};
const END_POLL_MS = 20;
/**
 * Takes the id of a row that may come yet, and waits for the end of its transaction where that has it already. kine's next id is another one:
 * the sequence moves on by itself, since a value set to it could be older than what kine takes meanwhile.
 */
const PRECLUDE = {
  name: "preclude",
  text: `WITH gap AS (
           INSERT INTO kine (id, name, created, deleted, create_revision, prev_revision, lease) VALUES ($1, $2, 0, 1, 0, 0, 0)
           ON CONFLICT DO NOTHING RETURNING id)
         SELECT CASE WHEN coalesce(pg_sequence_last_value(sequence), 0) < gap.id THEN nextval(sequence) END
         FROM gap, (SELECT pg_get_serial_sequence('kine', 'id')::regclass AS sequence) AS s`,
};
const WAIT_FOR_LOCK = { name: "wait-for-lock", text: `SELECT ${LOCK}` };
const READ_ONLY = "25006"; // read_only_sql_transaction

/** See `Dialect.forget`. */
export async function settleLostCommit(
  session: PostgresSession,
  { backend }: PostgresSession,
  batch: CommitBatch,
): Promise<void> {
  if (backend !== undefined) return endBackend(session, backend);
  // A pooler may have given its session with the server to somebody else by now, who is not to be ended.
  const [first] = batch.rows;
  if (first !== undefined) return preclude(session, first.id);
  // An end of leases alone is asked under the lock. Grants and renewals are late at worst.
  if (batch.endedLeases.length > 0) await session.query(WAIT_FOR_LOCK);
}

async function endBackend(
  session: PostgresSession,
  { pid, startedAt }: { readonly pid: number; readonly startedAt: string },
): Promise<void> {
  while ((await session.query(END_BACKEND, [pid, startedAt])).length > 0) await sleep(END_POLL_MS, session.lost);
}

/** A commit whose first row cannot be written any more writes nothing. */
async function preclude(session: PostgresSession, id: number): Promise<void> {
  try {
    await session.query(PRECLUDE, [id, gapName(id)]);
  } catch (error) {
    if (sqlState(error) !== READ_ONLY) throw error; // what takes no writes takes no late ones either
  }
}
