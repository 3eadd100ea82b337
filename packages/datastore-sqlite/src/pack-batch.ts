import { nextTurn } from "@k3s/async";
import type { CommitBatch, KeyDeletions, LeaseId, NewRow } from "@k3s/datastore";
import { ColumnPacker, unpackColumns } from "./packed-columns.ts";
import type { PackedBatch, PackedColumns, PackedDeletions, PackedRow } from "./worker-protocol.ts";

/** Beyond as many rows they are packed, so many of them in one turn of the event loop: a few milliseconds. */
const SLICE_ROWS = 2000;
/** Numbers of a packed row: all of it but the name. */
const ROW_NUMBERS = 8;

/** A batch in the form in which it goes to the worker. */
export interface Parcel {
  readonly batch: PackedBatch;
  /** What moves to the worker without being copied. */
  readonly transfer: readonly ArrayBuffer[];
}

/** Brings a batch into that form; a large one without holding up the event loop. */
export async function packBatch(batch: CommitBatch): Promise<Parcel> {
  const packer = new RowPacker(batch);
  if (batch.deletions !== undefined) return packer.finish({ rows: [], deletions: packDeletions(batch.deletions) });
  if (batch.rows.length <= SLICE_ROWS) return packer.finish({ rows: batch.rows.map((row) => packer.pack(row)) });
  const columns = new ColumnPacker(batch.rows.length, ROW_NUMBERS);
  for (let start = 0; start < batch.rows.length; start += SLICE_ROWS) {
    for (const row of batch.rows.slice(start, start + SLICE_ROWS)) {
      const [id, name, ...others] = packer.pack(row);
      columns.add(name, [id, ...others]);
    }
    await nextTurn();
  }
  return packer.finish({ rows: [], columns: columns.pack() });
}

/** The rows of a batch that came packed, each made when it is its turn. */
export function unpackRows(columns: PackedColumns): Iterable<PackedRow> {
  return unpackColumns(columns, ROW_NUMBERS, (name, numbers, first): PackedRow => {
    const at = (n: number) => numbers[first + n] ?? 0;
    return [at(0), name, at(1) === 1 ? 1 : 0, at(2) === 1 ? 1 : 0, at(3), at(4), at(5), at(6), at(7)];
  });
}

/** A copy: a batch that finds the disk full is packed once more. */
function packDeletions({ first, rows }: KeyDeletions): PackedDeletions {
  return { first, rows: rows.slice().buffer };
}

/** Puts all values into one buffer. */
class RowPacker {
  readonly #batch: CommitBatch;
  readonly #values: Uint8Array<ArrayBuffer>;
  readonly #rowLeases: (readonly [row: number, lease: LeaseId])[];
  #offset = 0;

  constructor(batch: CommitBatch) {
    this.#batch = batch;
    this.#rowLeases = [...batch.rowLeases];
    this.#values = new Uint8Array(batch.rows.reduce((sum, { value }) => sum + (value?.length ?? 0), 0));
  }

  pack(row: NewRow): PackedRow {
    const { id, name, createRevision, prevRevision, ttlSeconds, value } = row;
    if (row.lease !== 0n) this.#rowLeases.push([id, row.lease]);
    if (value !== undefined) this.#values.set(value, this.#offset);
    const offset = this.#offset;
    this.#offset += value?.length ?? 0;
    const flags = [row.created ? 1 : 0, row.deleted ? 1 : 0] as const;
    return [id, name, ...flags, createRevision, prevRevision, ttlSeconds, offset, value?.length ?? -1];
  }

  finish(packed: Pick<PackedBatch, "rows" | "columns" | "deletions">): Parcel {
    const { after, spans, leases, endedLeases, compactRevision } = this.#batch;
    const values = this.#values.buffer;
    const sides = { spans, leases, endedLeases, rowLeases: this.#rowLeases, compactRevision };
    const batch = { ...packed, after, values, ...sides };
    const { columns, deletions } = packed;
    const more = columns === undefined ? [] : [columns.numbers, columns.nameLengths, columns.names];
    if (deletions !== undefined) more.push(deletions.rows);
    return { batch, transfer: [values, ...more] };
  }
}
