import { emptyBatch, type CommitBatch } from "@k3s/datastore";

/** Rows that are brought into the form of a statement in one turn of the event loop: a few milliseconds. */
const PART_ROWS = 1000;

/**
 * A batch cut into some that are written one after the other in one transaction of the database, each planned on the last row of the one
 * before. All but the rows is in the first: later rows find the leases stored.
 */
export function* partsOf(batch: CommitBatch): Generator<CommitBatch, void> {
  const { rows } = batch;
  yield rows.length <= PART_ROWS ? batch : { ...batch, rows: rows.slice(0, PART_ROWS) };
  for (let at = PART_ROWS; at < rows.length; at += PART_ROWS)
    yield { ...emptyBatch, after: rows[at - 1]?.id ?? 0, rows: rows.slice(at, at + PART_ROWS) };
}

/** Whether {@link partsOf} gives more than one. */
export function hasParts({ rows }: Pick<CommitBatch, "rows">): boolean {
  return rows.length > PART_ROWS;
}
