import { randomUUID } from "node:crypto";
import type { CommitBatch, Pruning } from "@k3s/datastore";
import { gapName, hasParts, partsOf, TABLE_WAIT_MS } from "@k3s/datastore-sql";
import { failpoint } from "@k3s/failpoints";
import { checkBatch } from "./batch-check.ts";
import { CLAIM, commitStatement, LOCK } from "./commit-statement.ts";
import { LOCK_WAIT_MS } from "./connect-postgres.ts";
import type { PostgresSession } from "./postgres-session.ts";
import type { TableLayout } from "./schema.ts";

const FILL = {
  name: "fill",
  text: `INSERT INTO kine (id, name, created, deleted, create_revision, prev_revision, lease)
         SELECT id, name, 0, 1, 0, 0, 0 FROM unnest($1::bigint[], $2::text[]) AS g (id, name) ORDER BY id
         ON CONFLICT DO NOTHING`,
};
const PRUNE = {
  name: "prune",
  text: `WITH gone AS (DELETE FROM kine WHERE id = ANY($1::bigint[]))
         DELETE FROM kine_lease_row WHERE row_id = ANY($1::bigint[])`,
};
const PRUNE_SPANS = {
  name: "prune-spans",
  text: `DELETE FROM kine_span WHERE last_id <= $1
         AND NOT EXISTS (SELECT 1 FROM kine WHERE id BETWEEN kine_span.first_id AND kine_span.last_id)`,
};
const TABLES = ["kine", "kine_lease", "kine_lease_row", "kine_span"];
/** Tables up to this size are written anew when they are defragmented, which keeps everybody out meanwhile: about two seconds. */
const REWRITE_BYTES_MAX = 256 * 1024 * 1024;
const BYTES = { text: "SELECT pg_total_relation_size('kine')" };

/** Names this process among those that write to the database. */
export function newWriterName(): string {
  return randomUUID();
}

interface WriteOptions {
  /** Names this process; see {@link newWriterName}. */
  readonly writer: string;
  readonly layout: TableLayout;
}

/** Carries out a batch; see `Dialect.commit`. */
export async function commit(session: PostgresSession, batch: CommitBatch, options: WriteOptions): Promise<boolean> {
  // Without rows nothing but a lock taken before makes sure that no row names a lease that ends here.
  const isEndAlone = batch.rows.length === 0 && batch.endedLeases.length > 0;
  if ((isEndAlone || hasParts(batch)) && !session.isLocked) await lock(session);
  if (!session.isLocked) return write(session, batch, options);
  try {
    const isDone = await writeParts(session, batch, options);
    failpoint("postgres.written");
    await session.run(isDone ? "COMMIT" : "ROLLBACK");
    return isDone;
  } catch (error) {
    await session.run("ROLLBACK").catch(() => undefined); // the first error is the one that counts
    throw error;
  } finally {
    session.isLocked = false;
  }
}

/** In an open transaction, with the lock. */
async function writeParts(session: PostgresSession, batch: CommitBatch, options: WriteOptions): Promise<boolean> {
  for (const part of partsOf(batch)) if (!(await write(session, part, options))) return false;
  return true;
}

async function write(session: PostgresSession, batch: CommitBatch, options: WriteOptions): Promise<boolean> {
  const { writer, layout } = options;
  checkBatch(batch, layout);
  const { statement, values } = commitStatement(batch, writer);
  return fits(await session.query(statement, values));
}

interface LockOptions {
  /** Tries to take the table, for everybody, and resolves with whether it did. The transaction can go on whatever comes of it. */
  readonly takeTable?: (() => Promise<boolean>) | undefined;
}

/**
 * Begins a transaction that keeps others back; see `Dialect.lock`. Resolves with whether it has the table. Each lock is waited for
 * once: the claim's own, the table as it is needed, and the lock of commits, which is held for long under a claim only.
 */
export async function lock(session: PostgresSession, { takeTable }: LockOptions = {}): Promise<boolean> {
  session.isLocked = true;
  try {
    await session.run(`BEGIN; SELECT ${CLAIM}`);
    const isAlone = (await takeTable?.()) ?? false;
    // The table first, as in a single statement, which has it before it runs: the other order could end in a deadlock.
    await session.run(`${isAlone ? "" : "LOCK TABLE kine IN ROW EXCLUSIVE MODE;"} SELECT ${LOCK}`);
    return isAlone;
  } catch (error) {
    await unlock(session).catch(() => undefined);
    throw error;
  }
}

/**
 * Locks the table in a transaction that has the claim, and gives up soon, without the end of the transaction: all who write queue up
 * behind this. kine takes an id when it has the table, so that nobody has one on the way then.
 */
export async function lockTable(session: PostgresSession): Promise<void> {
  await session.run("SAVEPOINT alone");
  try {
    await session.run(`SET LOCAL lock_timeout = ${TABLE_WAIT_MS}; LOCK TABLE kine IN SHARE ROW EXCLUSIVE MODE;
      SET LOCAL lock_timeout = ${LOCK_WAIT_MS}`);
  } catch (error) {
    if (!session.lost.aborted) await session.run("ROLLBACK TO SAVEPOINT alone");
    throw error;
  }
}

export async function unlock(session: PostgresSession): Promise<void> {
  session.isLocked = false;
  await session.run("ROLLBACK");
}

/** The primary key makes the insertion wait for a row with the same id that is not committed yet. */
export async function fillGaps(session: PostgresSession, ids: readonly number[]): Promise<void> {
  await session.query(FILL, [ids, ids.map(gapName)]);
}

export async function prune(session: PostgresSession, { rows, spansUpTo }: Pruning): Promise<void> {
  if (rows.length > 0) await session.query(PRUNE, [rows]);
  if (spansUpTo > 0) await session.query(PRUNE_SPANS, [spansUpTo]);
}

/** Clears deleted rows away; small tables are written anew, which also gives the space to the system. */
export async function defragment(session: PostgresSession): Promise<void> {
  await session.run("SET statement_timeout = 0");
  try {
    for (const table of TABLES) await session.run(`VACUUM ${table}`);
    const [row] = await session.query(BYTES);
    if (Number(row?.[0]) <= REWRITE_BYTES_MAX) for (const table of TABLES) await session.run(`VACUUM FULL ${table}`);
  } finally {
    await session.run("RESET statement_timeout");
  }
}

function fits(rows: Awaited<ReturnType<PostgresSession["query"]>>): boolean {
  return rows[0]?.[0] === true;
}
