import { DriverError, type CommitBatch, type NewRow } from "@k3s/datastore";
import { columnName, type NameColumn } from "./column-name.ts";
import type { MysqlSession } from "./mysql-session.ts";
import { toNumber, toText } from "./read-rows.ts";
import { MIGRATE_IDS, MIGRATE_VALUES, migrateNames, type TableLayout } from "./schema.ts";
import { textLiteral } from "./sql-text.ts";

/** Pairs in one question: the server's time for it grows with their square, a thousand take many seconds. */
const ASKED_ROWS = 50;

interface Limits {
  readonly layout: TableLayout;
  readonly maxPacketBytes: number;
}

/** Throws DriverError for rows that the table cannot hold, before they are sent. */
export function checkBatch({ rows }: CommitBatch, limits: Limits): void {
  const { layout } = limits;
  const last = rows.at(-1);
  if (last !== undefined && last.id > layout.idMax) {
    const cure = `stop all servers and run: ${MIGRATE_IDS}`;
    throw new DriverError("refused", `Cannot write row ${last.id}: the table ends at ${layout.idMax}; ${cure}`);
  }
  for (const { name, value } of rows) {
    const state = nameRefusal(name, layout.name);
    if (state !== undefined) throw new DriverError("refused", `Cannot write row: ${state}`);
    assertHeld(value?.length ?? 0, limits);
  }
}

function assertHeld(bytes: number, { layout, maxPacketBytes }: Limits): void {
  const message = `Cannot write a value of ${bytes} bytes`;
  if (bytes > layout.valueMax) {
    const cure = `stop all servers and run: ${MIGRATE_VALUES}`;
    throw new DriverError("refused", `${message}: the table holds ${layout.valueMax}; ${cure}`);
  }
  const packetBytes = 2 * bytes + 4096; // two digits for each byte
  if (packetBytes <= maxPacketBytes) return;
  const cure = "raise it on the server and start anew";
  throw new DriverError("refused", `${message}: max_allowed_packet is ${maxPacketBytes}; ${cure}`);
}

/** Why the column cannot hold a name; undefined: it can. */
export function nameRefusal(name: string, column: NameColumn): string | undefined {
  const bytes = columnName(name, column).length;
  return bytes > column.maxBytes ? `its key takes ${bytes} bytes, the table holds ${column.maxBytes}` : undefined;
}

interface Duplicate {
  readonly column: NameColumn;
  readonly batch: CommitBatch;
  readonly cause: unknown;
}

/**
 * What a duplicate means in a table whose names are compared loosely: another program's row, which is a conflict, or a name that is
 * only the same to the database.
 */
export async function explainDuplicate(session: MysqlSession, { batch, column, cause }: Duplicate): Promise<unknown> {
  const [lastRow] = await session.select("SELECT MAX(id) FROM kine");
  if (toNumber(lastRow?.[0]) !== batch.after) return cause;
  let other: string | undefined;
  for (let at = 0; at < batch.rows.length; at += ASKED_ROWS) {
    const found = await findSame(session, batch.rows.slice(at, at + ASKED_ROWS), column);
    if (found.isTaken) return cause;
    other ??= found.other;
  }
  other = other === undefined ? "another key written at the same time" : `"${other}"`;
  const why = `the table takes a key for the same as ${other}, from which it differs in letter case or accents`;
  return new DriverError("refused", `Cannot write: ${why}; run: ${migrateNames(column)}`, { cause });
}

interface Same {
  /** Whether one of the rows themselves is in the table. */
  readonly isTaken: boolean;
  /** The name of a row that is the same as one of them to the table. */
  readonly other: string | undefined;
}

async function findSame(session: MysqlSession, rows: readonly NewRow[], column: NameColumn): Promise<Same> {
  const own = rows.map(({ name, prevRevision }) => ({ name: columnName(name, column), prevRevision }));
  const keys = new Set(own.map(({ name, prevRevision }) => `${prevRevision} ${name}`));
  const pairs = own.map(({ name, prevRevision }) => `(${textLiteral(name)},${prevRevision})`).join(",");
  const found = await session.select(`SELECT name,prev_revision FROM kine WHERE (name,prev_revision) IN (${pairs})`);
  const isTaken = found.some(([name, prev]) => keys.has(`${toNumber(prev)} ${toText(name)}`));
  return { isTaken, other: found[0] && toText(found[0][0]) };
}
