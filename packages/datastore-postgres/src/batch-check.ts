import { DriverError, type CommitBatch } from "@k3s/datastore";
import { MIGRATE_IDS, type TableLayout } from "./schema.ts";

/** A B-tree takes 2704 bytes in a row of an index; the other columns of kine's indexes need their part of it. */
const NAME_BYTES_MAX = 2600;
const BEYOND_ASCII = /[^\u0000-\u007f]/;

/** Throws DriverError for rows that the table cannot hold, before they are sent. */
export function checkBatch({ rows }: CommitBatch, layout: TableLayout): void {
  const last = rows.at(-1);
  if (last !== undefined && last.id > layout.idMax) {
    const cure = `stop all servers and run: ${MIGRATE_IDS}`;
    throw new DriverError("refused", `Cannot write row ${last.id}: the table ends at ${layout.idMax}; ${cure}`);
  }
  for (const { name } of rows) {
    const refusal = nameRefusal(name, layout);
    if (refusal !== undefined) throw new DriverError("refused", `Cannot write row: ${refusal}`);
  }
}

/** Why the table cannot hold a name; undefined: it can. */
export function nameRefusal(name: string, { nameChars, isAsciiOnly }: TableLayout): string | undefined {
  if (name.includes("\0")) return "its key has a zero byte, which PostgreSQL does not take in a text";
  if (isAsciiOnly && BEYOND_ASCII.test(name)) return "its key is not ASCII, and the database is not encoded in UTF-8";
  const bytes = Buffer.byteLength(name);
  if (bytes > NAME_BYTES_MAX) return `its key takes ${bytes} bytes, the table holds ${NAME_BYTES_MAX}`;
  if (bytes <= nameChars) return undefined;
  const chars = Array.from(name).length;
  return chars > nameChars ? `its key takes ${chars} characters, the table holds ${nameChars}` : undefined;
}
