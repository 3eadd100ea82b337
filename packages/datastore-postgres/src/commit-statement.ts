import type { CommitBatch } from "@k3s/datastore";
import { batchRows, neededLeases, type BatchRow, type BatchRows, type NeededLeases } from "@k3s/datastore-sql";
import type { Parameter, Statement } from "./postgres-session.ts";

/** First half of the advisory lock's key, "kine" in ASCII; the second is the table. Advisory locks are per database. */
export const LOCK_CLASS = 0x6b696e65;
/** The one lock of all commits, for the rest of the transaction. */
export const LOCK = `pg_advisory_xact_lock(${LOCK_CLASS}, 'kine'::regclass::oid::int4)`;

/** Claims wait for each other by a lock of their own, taken before all others. */
export const CLAIM = `pg_advisory_xact_lock(${LOCK_CLASS + 1}, 'kine'::regclass::oid::int4)`;

/** Where our servers tell each other of commits: the id of the last row, and who wrote it. A channel per table. */
export const CHANNEL = "'kine_' || 'kine'::regclass::oid::text";

/** Texts are the same for the same parts of a batch, so a session prepares a handful of them. */
interface CommitStatement {
  readonly statement: Statement;
  readonly values: readonly Parameter[];
}

/** Collects the parts of one statement. */
class Parts {
  readonly values: Parameter[] = [];
  readonly tables: string[] = [];
  name = "commit";

  /** The place of a value in the text. */
  bind(value: Parameter): string {
    this.values.push(value);
    return `$${this.values.length}`;
  }

  add(name: string, text: string): void {
    this.name += `-${name}`;
    this.tables.push(`${name} AS (${text})`);
  }
}

/**
 * All of a batch as one statement, so that it is one round trip and a transaction of its own. Its one row tells whether it fitted.
 *
 * The statement sees the table as it was before it waited for the lock. That does no harm: what came meanwhile has our first id,
 * which the primary key refuses, and leases are locked, which looks at them as they are now. Only a batch that ends leases and has
 * no rows is not guarded by that: it has to be run in a transaction that holds the lock already.
 */
export function commitStatement(batch: CommitBatch, writer: string): CommitStatement {
  const parts = new Parts();
  const packed = batchRows(batch);
  addBase(parts, batch);
  addRows(parts, packed);
  addSide(parts, batch, packed);
  const said = packed.rows.length === 0 ? [] : [sequenceStep(parts, packed), announcement(parts, packed, writer)];
  const columns = ["fits", ...said.map((call) => `CASE WHEN fits THEN ${call} END`)];
  const text = `WITH ${parts.tables.join(",\n")}\nSELECT ${columns.join(", ")} FROM base`;
  return { statement: { name: parts.name, text }, values: parts.values };
}

function addBase(parts: Parts, batch: CommitBatch): void {
  const isGuarded = batch.rows.length > 0 || batch.endedLeases.length > 0;
  // A compaction changes nothing that others compare, but is kept back by their claims.
  const isLocked = isGuarded || batch.compactRevision !== undefined;
  if (isLocked) parts.add("held", `SELECT ${LOCK} AS held`);
  const from = isLocked ? "FROM held" : "";
  const isLast = isGuarded ? `coalesce((SELECT max(id) FROM kine), 0) = ${parts.bind(batch.after)}` : "true";
  const needed = neededLeases(batch);
  if (needed.count === 0) {
    parts.add("base", `SELECT ${isLast} AS fits ${from}`);
    return;
  }
  const found = addNeeded(parts, needed, isLocked ? "held, kine_lease l" : "kine_lease l");
  const areStored = `(SELECT count(*) FROM ${found}) = ${parts.bind(needed.count)}`;
  parts.add("base", `SELECT ${isLast} AND ${areStored} AS fits ${from}`);
}

/**
 * Finds and locks leases, in one order. In a join with the one lock the row locks come after that: the other order could end in a deadlock.
 * Whether an end is still the stored one tells only a lock that renewals wait for: under FOR KEY SHARE the row before a renewal would do.
 * Returns the name of the table of what was found.
 */
function addNeeded(parts: Parts, { anyEnd, sameEnd }: NeededLeases, tables: string): "needed" | "due" {
  const dueIds = sameEnd.map(({ id }) => id);
  const isNeeded = `l.id = ANY(${parts.bind([...anyEnd, ...dueIds])}::bigint[])`;
  if (sameEnd.length === 0) {
    parts.add("needed", `SELECT l.id FROM ${tables} WHERE ${isNeeded} ORDER BY l.id FOR KEY SHARE OF l`);
    return "needed";
  }
  const isAny = `l.id = ANY(${parts.bind(anyEnd)}::bigint[])`;
  const [ids, ends] = [parts.bind(dueIds), parts.bind(sameEnd.map(({ expiresAtMs }) => Math.round(expiresAtMs)))];
  const isSame = `(l.id, l.expires_at) IN (SELECT * FROM unnest(${ids}::bigint[], ${ends}::bigint[]))`;
  parts.add(
    "due",
    `SELECT l.id FROM ${tables} WHERE ${isNeeded} AND (${isAny} OR ${isSame}) ORDER BY l.id FOR UPDATE OF l`,
  );
  return "due";
}

/** All values are one parameter, cut up by the server: an array of them would go over the wire as text of twice the size. */
function addRows(parts: Parts, { rows }: BatchRows): void {
  if (rows.length === 0) return;
  const values = new Values();
  const slices = rows.map(({ value }) => values.add(value));
  const olds = rows.map(({ old }) => values.add(typeof old === "number" ? undefined : old));
  const column = (of: (row: BatchRow, index: number) => number | string, type: string) =>
    `${parts.bind(rows.map(of))}::${type}[]`;
  const columns = [
    column(({ id }) => id, "bigint"),
    column(({ name }) => name, "text"),
    column(({ created }) => created, "int"),
    column(({ deleted }) => deleted, "int"),
    column(({ createRevision }) => createRevision, "bigint"),
    column(({ prevRevision }) => prevRevision, "bigint"),
    column(({ ttlSeconds }) => ttlSeconds, "int"),
    column((_row, i) => slices[i]?.start ?? 0, "int"),
    column((_row, i) => slices[i]?.length ?? -1, "int"),
    column(({ old }) => (typeof old === "number" ? old : 0), "bigint"),
    column((_row, i) => olds[i]?.start ?? 0, "int"),
    column((_row, i) => olds[i]?.length ?? -1, "int"),
  ];
  const blob = `${parts.bind(values.bytes())}::bytea`;
  const cut = (start: string, length: string) =>
    `WHEN ${length} >= 0 THEN substring(${blob} FROM ${start} FOR ${length})`;
  parts.add(
    "added",
    `INSERT INTO kine (id, name, created, deleted, create_revision, prev_revision, lease, value, old_value)
     SELECT id, name, created, deleted, create_revision, prev_revision, lease, CASE ${cut("at", "size")} END,
       CASE WHEN old_row > 0 THEN (SELECT k.value FROM kine k WHERE k.id = old_row) ${cut("old_at", "old_size")} END
     FROM base, unnest(${columns.join(", ")})
       AS r (id, name, created, deleted, create_revision, prev_revision, lease, at, size, old_row, old_at, old_size)
     WHERE fits ORDER BY id`,
  );
}

function addSide(parts: Parts, batch: CommitBatch, { leases, rowLeases }: BatchRows): void {
  if (leases.length > 0) {
    const [ids, ttls, ends] = [
      parts.bind(leases.map(({ id }) => id)),
      parts.bind(leases.map(({ ttlSeconds }) => ttlSeconds)),
      parts.bind(leases.map(({ expiresAtMs }) => Math.round(expiresAtMs))),
    ];
    parts.add(
      "leases",
      `INSERT INTO kine_lease (id, ttl, expires_at)
       SELECT id, ttl, ends FROM base, unnest(${ids}::bigint[], ${ttls}::bigint[], ${ends}::bigint[]) AS l (id, ttl, ends)
       WHERE fits ORDER BY id
       ON CONFLICT (id) DO UPDATE SET ttl = excluded.ttl, expires_at = greatest(kine_lease.expires_at + 1, excluded.expires_at)`,
    );
  }
  if (batch.endedLeases.length > 0) {
    const ids = parts.bind(batch.endedLeases);
    parts.add("ended", `DELETE FROM kine_lease USING base WHERE fits AND id = ANY(${ids}::bigint[])`);
  }
  if (rowLeases.length > 0) addPairs(parts, { name: "kine_lease_row", columns: ["row_id", "lease"], pairs: rowLeases });
  const spans = batch.spans.map(({ first, last }) => [last, first] as const);
  if (spans.length > 0) addPairs(parts, { name: "kine_span", columns: ["last_id", "first_id"], pairs: spans });
  if (batch.compactRevision !== undefined) {
    const at = `${parts.bind(batch.compactRevision)}::bigint`;
    parts.add(
      "marker",
      `UPDATE kine SET prev_revision = ${at} FROM base
       WHERE fits AND name = 'compact_rev_key' AND prev_revision < ${at}`,
    );
  }
}

interface Pairs {
  readonly name: string;
  readonly columns: readonly [key: string, value: string];
  readonly pairs: readonly (readonly [number, number | bigint])[];
}

function addPairs(parts: Parts, { name, columns: [key, value], pairs }: Pairs): void {
  const [keys, values] = [parts.bind(pairs.map(([first]) => first)), parts.bind(pairs.map(([, second]) => second))];
  parts.add(
    name,
    `INSERT INTO ${name} (${key}, ${value})
     SELECT a, b FROM base, unnest(${keys}::bigint[], ${values}::bigint[]) AS p (a, b) WHERE fits
     ON CONFLICT (${key}) DO UPDATE SET ${value} = excluded.${value}`,
  );
}

/** kine takes its ids from the sequence: it has to go on behind ours. Never back, also when kine was faster. */
function sequenceStep(parts: Parts, { lastRow }: BatchRows): string {
  const sequence = "pg_get_serial_sequence('kine', 'id')::regclass";
  const last = `${parts.bind(lastRow)}::bigint`;
  return `setval(${sequence}, greatest(${last}, pg_sequence_last_value(${sequence})))`;
}

function announcement(parts: Parts, { lastRow }: BatchRows, writer: string): string {
  return `pg_notify(${CHANNEL}, ${parts.bind(`${lastRow} ${writer}`)})`;
}

/** Bytes one after the other, with the place of each as `substring` counts: from 1. */
class Values {
  readonly #values: Buffer[] = [];
  #length = 0;

  /** undefined for NULL. */
  add(value: Buffer | undefined): { readonly start: number; readonly length: number } | undefined {
    if (value === undefined) return undefined;
    const start = this.#length + 1;
    this.#values.push(value);
    this.#length += value.length;
    return { start, length: value.length };
  }

  bytes(): Buffer {
    return Buffer.concat(this.#values, this.#length);
  }
}
