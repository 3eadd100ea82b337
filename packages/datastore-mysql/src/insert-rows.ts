import type { BatchRow } from "@k3s/datastore-sql";
import { columnName, type NameColumn } from "./column-name.ts";
import { bytesLiteral, textLiteral } from "./sql-text.ts";

const COLUMNS = "(id,name,created,deleted,create_revision,prev_revision,lease,value,old_value)";
const NAMED = ["id", "name", "created", "deleted", "create_revision", "prev_revision", "lease", "value"];
/** A statement is closed beyond this, so that packets can be filled. */
const STATEMENT_CHARS = 512 * 1024;
/** Bytes of a row before in the same batch are repeated up to here; larger ones are read from the table. */
const REPEATED_BYTES = 64 * 1024;

interface Group {
  /** The value before comes from the table: rows that were inserted by statements before this one. */
  readonly isJoined: boolean;
  readonly rows: string[];
  chars: number;
}

/**
 * Statements that insert the rows in their order, a few for many rows. Joined ones are the cheapest way to `old_value`: one
 * sub-select for each row takes twice as long.
 */
export function insertRows(rows: readonly BatchRow[], column: NameColumn): string[] {
  const groups: Group[] = [];
  for (const row of rows) {
    const isLarge = Buffer.isBuffer(row.old) && row.old.length > REPEATED_BYTES;
    const isJoined = isLarge || typeof row.old === "number";
    const text = isJoined ? joinedRow(row, column) : plainRow(row, column);
    const last = groups.at(-1);
    const fits = last !== undefined && last.isJoined === isJoined && last.chars < STATEMENT_CHARS && !isLarge;
    const group = fits ? last : { isJoined, rows: [], chars: 0 };
    if (!fits) groups.push(group);
    group.rows.push(text);
    group.chars += text.length;
  }
  return groups.map(statementOf);
}

function statementOf({ isJoined, rows }: Group): string {
  if (!isJoined) return `INSERT INTO kine ${COLUMNS} VALUES ${rows.map((row) => `(${row})`).join(",")}`;
  const [first = "", ...rest] = rows;
  const union = [first, ...rest].map((row) => `SELECT ${row}`).join(" UNION ALL ");
  return `INSERT INTO kine ${COLUMNS} SELECT v.*,p.value FROM (${union}) v LEFT JOIN kine p ON p.id=v.prev_revision`;
}

function plainRow(row: BatchRow, column: NameColumn): string {
  const old = Buffer.isBuffer(row.old) ? row.old : undefined;
  return `${values(row, column).join(",")},${bytesLiteral(old)}`;
}

function joinedRow(row: BatchRow, column: NameColumn): string {
  return values(row, column)
    .map((value, i) => `${value} ${NAMED[i] ?? ""}`)
    .join(",");
}

function values(row: BatchRow, column: NameColumn): readonly (string | number)[] {
  const { id, created, deleted, createRevision, prevRevision, ttlSeconds } = row;
  const name = textLiteral(columnName(row.name, column));
  return [id, name, created, deleted, createRevision, prevRevision, ttlSeconds, bytesLiteral(row.value)];
}
