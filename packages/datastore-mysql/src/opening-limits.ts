import { limited } from "@k3s/datastore-sql";
import type { MysqlSession } from "./mysql-session.ts";

/** A backup can keep locks for hours, and the server's own limit is a day or a year. */
const LOCK_WAIT_SECONDS = 3;
/** For what is done once with all rows: it may have to wait again at its end, and a failure there takes all of it back. */
const INDEX_LOCK_WAIT_SECONDS = 60;
const STEP_LIMIT_MS = 10_000;

/** From now on this session does not wait for locks on tables for long: it fails with error 1205. */
export function limitLockWaits(session: MysqlSession): Promise<void> {
  return setLockWait(session, LOCK_WAIT_SECONDS);
}

/** As {@link limitLockWaits}, with a minute. */
export function lengthenLockWaits(session: MysqlSession): Promise<void> {
  return setLockWait(session, INDEX_LOCK_WAIT_SECONDS);
}

/** Runs statements that a server which is not kept back ends soon, however large the tables are. Rejects with TookTooLong. */
export function runSoon<T>(session: MysqlSession, task: () => Promise<T>): Promise<T> {
  return limited(session, { what: "Preparing the database", ms: STEP_LIMIT_MS }, task);
}

function setLockWait(session: MysqlSession, seconds: number): Promise<void> {
  // What the endpoint or the server says, if it is shorter. MySQL takes no number here whose type it cannot tell.
  const shorter = `CAST(LEAST(@k3s_lock_wait_timeout,${seconds}) AS UNSIGNED)`;
  return runSoon(session, () => session.run([`SET SESSION lock_wait_timeout=${shorter}`]));
}
