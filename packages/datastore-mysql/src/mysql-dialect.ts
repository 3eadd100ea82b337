import { sleep } from "@k3s/async";
import {
  DriverError,
  type ChangedRow,
  type ClaimScope,
  type CommitBatch,
  type DatabaseSize,
  type LeaseRecord,
  type Position,
  type Pruning,
  type RowHead,
  type RowSpan,
  type SideState,
} from "@k3s/datastore";
import { failpoint } from "@k3s/failpoints";
import type { Logger } from "@k3s/log";
import {
  AloneAttempts,
  DurabilityNotes,
  gapName,
  hasParts,
  partsOf,
  type Dialect,
  type FailureKind,
  type RowPage,
} from "@k3s/datastore-sql";
import { classify, errorNumber } from "./classify.ts";
import {
  AWAIT_TURN,
  CONDITION_FAILED,
  conditionsOf,
  inParts,
  GIVE_TABLES,
  LIMIT_WAIT,
  TAKE_LOCK,
  TAKE_TABLES,
  UNLIMIT_WAIT,
  writesOf,
} from "./commit-statements.ts";
import { connectLimitMs, connectMysql } from "./connect-mysql.ts";
import { checkBatch, explainDuplicate, nameRefusal } from "./batch-check.ts";
import { weaknessesOf } from "./durability.ts";
import type { MysqlSession } from "./mysql-session.ts";
import { describeTarget, type MysqlTarget } from "./mysql-target.ts";
import { HEAD_COLUMNS, toBigint, toChangedRow, toHead, toLease, toNumber, toSpan } from "./read-rows.ts";
import type { TableLayout } from "./schema.ts";
import { isCluster, isSameServer, isTidb } from "./server-kind.ts";
import { readSize } from "./table-size.ts";
import { packetsOf } from "./sql-text.ts";

/** Of the largest packet; the rest is for the protocol and for what the text becomes in UTF-8. */
const PACKET_SHARE = 0.75;
const PACKET_CHARS_MAX = 4 * 1024 * 1024;
/** ER_NO_SUCH_THREAD: it ended by itself. */
const NO_SUCH_THREAD = 1094;
const FORGET_POLL_MS = 20;
/** A locked table has a name for each time it is used in a statement. */
const MARKER = "FROM kine m WHERE m.name='compact_rev_key'";
/** UNIX_TIMESTAMP() of a local time is ambiguous in the hour in which summer time ends. */
const CLOCK_MS = "TIMESTAMPDIFF(MICROSECOND,'1970-01-01 00:00:00',UTC_TIMESTAMP(6)) DIV 1000";
const SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ";

interface MysqlDialectParts {
  readonly target: MysqlTarget;
  readonly layout: TableLayout;
  readonly log: Logger;
}

/** Kine's table in the words of MySQL and MariaDB. */
export class MysqlDialect implements Dialect<MysqlSession> {
  readonly product = "MySQL";
  readonly connectLimitMs: number;
  readonly #target: MysqlTarget;
  readonly #layout: TableLayout;
  readonly #alone: AloneAttempts;
  readonly #durability: DurabilityNotes;

  constructor({ target, layout, log }: MysqlDialectParts) {
    this.connectLimitMs = connectLimitMs(target);
    this.#target = target;
    this.#layout = layout;
    this.#alone = new AloneAttempts({ meaning: meaningAlone, log });
    this.#durability = new DurabilityNotes(log);
  }

  /** Behind one address may be another server each time. */
  async connect(signal: AbortSignal): Promise<MysqlSession> {
    const session = await connectMysql(this.#target, { database: this.#target.database, signal });
    const { variables } = session;
    this.#durability.note(variables.get("hostname") ?? describeTarget(this.#target), weaknessesOf(variables));
    return session;
  }

  classify(error: unknown): FailureKind {
    return classify(error);
  }

  refusal(name: string): string | undefined {
    return nameRefusal(name, this.#layout.name);
  }

  async heads(session: MysqlSession, { after, limit }: RowPage): Promise<readonly RowHead[]> {
    const from = "FROM kine k FORCE INDEX (PRIMARY)";
    const sql = `SELECT ${HEAD_COLUMNS} ${from} WHERE k.id>${after} ORDER BY k.id LIMIT ${limit}`;
    return (await session.select(sql)).map(toHead);
  }

  async rows(session: MysqlSession, { after, limit }: RowPage): Promise<readonly ChangedRow[]> {
    const from = "FROM kine k FORCE INDEX (PRIMARY) LEFT JOIN kine_lease_row l ON l.row_id=k.id";
    const sql = `SELECT ${HEAD_COLUMNS},l.lease,k.value ${from} WHERE k.id>${after} ORDER BY k.id LIMIT ${limit}`;
    return (await session.select(sql)).map(toChangedRow);
  }

  async spans(
    session: MysqlSession,
    { after, upTo }: { readonly after: number; readonly upTo: number },
  ): Promise<readonly RowSpan[]> {
    const where = `last_id>${after} AND first_id<=${upTo}`;
    return (await session.select(`SELECT first_id,last_id FROM kine_span WHERE ${where} ORDER BY last_id`)).map(toSpan);
  }

  async side(session: MysqlSession): Promise<SideState> {
    const [leases = [], rowLeases = [], spans = []] = await session.selectAll([
      SNAPSHOT,
      "START TRANSACTION READ ONLY",
      "SELECT id,ttl,expires_at FROM kine_lease",
      "SELECT row_id,lease FROM kine_lease_row ORDER BY row_id",
      "SELECT first_id,last_id FROM kine_span ORDER BY last_id",
      "COMMIT",
    ]);
    const entries = rowLeases.map(([row, lease]) => [toNumber(row), toBigint(lease)] as const);
    return { leases: leases.map(toLease), rowLeases: new Map(entries), spans: spans.map(toSpan) };
  }

  async leases(session: MysqlSession): Promise<readonly LeaseRecord[]> {
    return (await session.select("SELECT id,ttl,expires_at FROM kine_lease")).map(toLease);
  }

  async clockMs(session: MysqlSession): Promise<number> {
    const [row = []] = await session.select(`SELECT ${CLOCK_MS}`);
    return toNumber(row[0]);
  }

  async values(session: MysqlSession, ids: readonly number[]): Promise<ReadonlyMap<number, Buffer>> {
    const rows = await session.select(`SELECT id,value FROM kine WHERE id IN (${ids.join(",")})`);
    return new Map(rows.map(([id, value]) => [toNumber(id), Buffer.isBuffer(value) ? value : Buffer.alloc(0)]));
  }

  async position(session: MysqlSession): Promise<Position> {
    const [row = []] = await session.select(`SELECT (SELECT MAX(id) FROM kine),(SELECT MAX(prev_revision) ${MARKER})`);
    return { lastRow: toNumber(row[0]), compactRevision: toNumber(row[1]) };
  }

  async hasMarker(session: MysqlSession): Promise<boolean> {
    return (await session.select(`SELECT 1 ${MARKER} LIMIT 1`)).length > 0;
  }

  async present(session: MysqlSession, ids: readonly number[]): Promise<readonly number[]> {
    return (await session.select(`SELECT id FROM kine WHERE id IN (${ids.join(",")})`)).map(([id]) => toNumber(id));
  }

  async commit(session: MysqlSession, batch: CommitBatch): Promise<boolean> {
    try {
      await this.#write(session, batch);
      return true;
    } catch (error) {
      await rollBack(session);
      if (errorNumber(error) === CONDITION_FAILED) return false;
      const { name: column } = this.#layout;
      const isOpen = classify(error) === "conflict" && column.isLoose;
      throw isOpen ? await explainDuplicate(session, { batch, column, cause: error }) : error;
    }
  }

  async lock(session: MysqlSession, scope: ClaimScope): Promise<ClaimScope> {
    if (scope === "everybody" && hasLocalTables(session) && this.#alone.isDue) {
      await take(session, "servers", AWAIT_TURN);
      if (await this.#alone.attempt(() => take(session, scope, TAKE_TABLES))) return scope;
    }
    await take(session, "servers", ["START TRANSACTION", TAKE_LOCK]);
    return "servers";
  }

  async forget(session: MysqlSession, { serverId, variables }: MysqlSession): Promise<void> {
    // Another server, as the next address of a name leads to, has a connection of somebody else under that number.
    if (serverId === undefined || !isSameServer(session.variables, variables)) return;
    const find = `SELECT 1 FROM information_schema.processlist WHERE id = ${serverId}`;
    while ((await session.select(find)).length > 0) {
      await session.run([`KILL CONNECTION ${serverId}`]).catch((error: unknown) => {
        if (errorNumber(error) !== NO_SUCH_THREAD) throw error;
      });
      await sleep(FORGET_POLL_MS, session.lost);
    }
  }

  async unlock(session: MysqlSession): Promise<void> {
    await rollBack(session);
  }

  async fillGaps(session: MysqlSession, ids: readonly number[]): Promise<void> {
    const rows = ids.map((id) => `(${id},'${gapName(id)}',0,1,0,0,0,NULL,NULL)`);
    const into =
      "INSERT IGNORE INTO kine (id,name,created,deleted,create_revision,prev_revision,lease,value,old_value)";
    for (const statement of inParts(rows, (part) => `${into} VALUES ${part}`)) await session.run([statement]);
  }

  async prune(session: MysqlSession, { rows, spansUpTo }: Pruning): Promise<void> {
    const statements = [
      ...inParts(rows, (part) => `DELETE FROM kine WHERE id IN (${part})`),
      ...inParts(rows, (part) => `DELETE FROM kine_lease_row WHERE row_id IN (${part})`),
    ];
    const hasRows = "SELECT 1 FROM kine k WHERE k.id BETWEEN kine_span.first_id AND kine_span.last_id";
    if (spansUpTo > 0) statements.push(`DELETE FROM kine_span WHERE last_id<=${spansUpTo} AND NOT EXISTS (${hasRows})`);
    try {
      await session.run(["START TRANSACTION", ...statements, "COMMIT"]);
    } catch (error) {
      await rollBack(session);
      throw error;
    }
  }

  size(session: MysqlSession): Promise<DatabaseSize> {
    return readSize(session);
  }

  async defragment(session: MysqlSession): Promise<void> {
    await session.select("OPTIMIZE TABLE kine");
  }

  /** One packet for all, unless it would be too large. */
  async #write(session: MysqlSession, batch: CommitBatch): Promise<void> {
    const conditions = conditionsOf(batch);
    const isHeld = session.holds !== undefined;
    const begin = isHeld ? [] : ["START TRANSACTION", ...(takesTurn(batch, conditions) ? [TAKE_LOCK] : [])];
    const end = isHeld ? ["COMMIT", ...giveBack(session)] : ["COMMIT"];
    const before = [...begin, ...conditions];
    const [only = [], ...more] = hasParts(batch) ? [] : this.#packetsOf(session, batch, before);
    if (!hasParts(batch) && more.length === 0) {
      await session.run([...only, ...end]);
    } else {
      await session.run([LIMIT_WAIT]);
      await this.#writeParts(session, batch, before);
      failpoint("mysql.written");
      await session.run(["COMMIT", ...giveBack(session)]);
    }
    session.holds = undefined;
  }

  /** Packet after packet, made only when it is its turn: no large transaction is in memory as a text. */
  async #writeParts(session: MysqlSession, batch: CommitBatch, before: readonly string[]): Promise<void> {
    let first = before;
    for (const part of partsOf(batch)) {
      for (const packet of this.#packetsOf(session, part, first)) await session.run(packet);
      first = [];
    }
  }

  #packetsOf(session: MysqlSession, batch: CommitBatch, before: readonly string[]): string[][] {
    checkBatch(batch, { layout: this.#layout, maxPacketBytes: session.maxPacketBytes });
    const maxChars = Math.min(session.maxPacketBytes * PACKET_SHARE, PACKET_CHARS_MAX);
    return packetsOf([...before, ...writesOf(batch, this.#layout.name)], maxChars);
  }
}

/** A compaction changes nothing that others compare, but is kept back by their claims. */
function takesTurn({ compactRevision }: CommitBatch, conditions: readonly string[]): boolean {
  return conditions.length > 0 || compactRevision !== undefined;
}

/** Whether LOCK TABLES keeps everybody back: in a cluster of several writers it holds for one of them, and TiDB ignores it. */
function hasLocalTables({ variables }: MysqlSession): boolean {
  return !isCluster(variables) && !isTidb(variables);
}

async function take(session: MysqlSession, scope: ClaimScope, statements: readonly string[]): Promise<void> {
  session.holds = scope;
  try {
    await session.run([LIMIT_WAIT, ...statements]);
  } catch (error) {
    await rollBack(session);
    throw error;
  }
}

/** Numbers of MySQL's and MariaDB's errors. */
function meaningAlone(error: unknown): "later" | "never" | undefined {
  const number = errorNumber(error);
  if (number === 1205 || number === 1213) return "later"; // ER_LOCK_WAIT_TIMEOUT, ER_LOCK_DEADLOCK
  // ER_DBACCESS_DENIED_ERROR, ER_TABLEACCESS_DENIED_ERROR, ER_NOT_SUPPORTED_YET
  return number === 1044 || number === 1142 || number === 1235 ? "never" : undefined;
}

/** What ends what a session holds beside its transaction. */
function giveBack({ holds }: MysqlSession): readonly string[] {
  return holds === "everybody" ? [...GIVE_TABLES, UNLIMIT_WAIT] : [UNLIMIT_WAIT];
}

/** Ends the transaction if there is one; a session that cannot is of no use any more. */
async function rollBack(session: MysqlSession): Promise<void> {
  const given = giveBack(session);
  session.holds = undefined;
  if (session.lost.aborted) return;
  try {
    await session.run(["ROLLBACK", ...given]);
  } catch (error) {
    session.destroy(new DriverError("failed", "Cannot take a transaction back", { cause: error }));
  }
}
