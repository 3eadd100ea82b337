import type { RowHead } from "@k3s/datastore";
import { ColumnPacker, unpackColumns } from "./packed-columns.ts";
import type { PackedColumns } from "./worker-protocol.ts";

/** Columns of one row as SQLite gives them: id, name, created, deleted, create_revision, prev_revision, lease. */
export type RawHead = readonly [
  id: number,
  name: string | number | null,
  created: number | null,
  deleted: number | null,
  createRevision: number | null,
  prevRevision: number | null,
  lease: number | null,
];

/** Numbers of one row: all its columns but the name. */
const NUMBERS = 6;

export function packHeads(rows: readonly RawHead[]): PackedColumns {
  const packer = new ColumnPacker(rows.length, NUMBERS);
  // The name is a number where a file of old kine declares the column as INTEGER.
  for (const [id, name, ...others] of rows) packer.add(String(name ?? ""), [id, ...others]);
  return packer.pack();
}

/** The rows again. */
export function unpackHeads(packed: PackedColumns): RowHead[] {
  const heads = unpackColumns(packed, NUMBERS, (name, numbers, first): RowHead => ({
    id: numbers[first] ?? 0,
    name,
    created: numbers[first + 1] !== 0,
    deleted: numbers[first + 2] !== 0,
    createRevision: numbers[first + 3] ?? 0,
    prevRevision: numbers[first + 4] ?? 0,
    ttlSeconds: numbers[first + 5] ?? 0,
  }));
  return [...heads];
}
