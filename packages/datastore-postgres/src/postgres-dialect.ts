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
import {
  AloneAttempts,
  DurabilityNotes,
  type Announcement,
  type Dialect,
  type FailureKind,
  type RowPage,
} from "@k3s/datastore-sql";
import type { Logger } from "@k3s/log";
import { nameRefusal } from "./batch-check.ts";
import { classify, sqlState } from "./classify.ts";
import { CHANNEL } from "./commit-statement.ts";
import { connectLimitMs, connectPostgres, type PostgresPlace } from "./connect-postgres.ts";
import { weaknessesOf } from "./durability.ts";
import { settleLostCommit } from "./lost-commit.ts";
import type { PostgresSession } from "./postgres-session.ts";
import * as reading from "./reading.ts";
import type { TableLayout } from "./schema.ts";
import { UnwantedServer } from "./unwanted-server.ts";
import * as writing from "./writing.ts";

interface PostgresDialectParts {
  readonly place: PostgresPlace;
  readonly layout: TableLayout;
  readonly log: Logger;
}

/** Kine's table in the words of PostgreSQL. */
export class PostgresDialect implements Dialect<PostgresSession> {
  readonly product = "PostgreSQL";
  readonly connectLimitMs: number;
  readonly #parts: PostgresDialectParts;
  readonly #writer = writing.newWriterName();
  readonly #alone: AloneAttempts;
  readonly #durability: DurabilityNotes;

  constructor(parts: PostgresDialectParts) {
    this.connectLimitMs = connectLimitMs(parts.place);
    this.#parts = parts;
    this.#alone = new AloneAttempts({ meaning: meaningAlone, log: parts.log });
    this.#durability = new DurabilityNotes(parts.log);
  }

  /** Of several hosts it may be another one each time, but never a standby: also one host can turn into one, or a name lead to one. */
  async connect(signal: AbortSignal): Promise<PostgresSession> {
    const { place } = this.#parts;
    const session = await connectPostgres(place, { database: place.settings.database, signal });
    if (session.isStandby) {
      await session.end();
      throw new UnwantedServer("primary");
    }
    this.#durability.note(session.server, weaknessesOf(session));
    return session;
  }

  classify(error: unknown): FailureKind {
    return classify(error);
  }

  refusal(name: string): string | undefined {
    return nameRefusal(name, this.#parts.layout);
  }

  heads(session: PostgresSession, page: RowPage): Promise<readonly RowHead[]> {
    return reading.readHeads(session, page);
  }

  rows(session: PostgresSession, page: RowPage): Promise<readonly ChangedRow[]> {
    return reading.readRows(session, page);
  }

  spans(
    session: PostgresSession,
    range: { readonly after: number; readonly upTo: number },
  ): Promise<readonly RowSpan[]> {
    return reading.readSpans(session, range);
  }

  side(session: PostgresSession): Promise<SideState> {
    return reading.readSide(session);
  }

  leases(session: PostgresSession): Promise<readonly LeaseRecord[]> {
    return reading.readLeases(session);
  }

  clockMs(session: PostgresSession): Promise<number> {
    return reading.readClockMs(session);
  }

  values(session: PostgresSession, ids: readonly number[]): Promise<ReadonlyMap<number, Buffer>> {
    return reading.readValues(session, ids);
  }

  position(session: PostgresSession): Promise<Position> {
    return reading.readPosition(session);
  }

  hasMarker(session: PostgresSession): Promise<boolean> {
    return reading.readHasMarker(session);
  }

  present(session: PostgresSession, ids: readonly number[]): Promise<readonly number[]> {
    return reading.readPresent(session, ids);
  }

  commit(session: PostgresSession, batch: CommitBatch): Promise<boolean> {
    return writing.commit(session, batch, { writer: this.#writer, layout: this.#parts.layout });
  }

  forget(session: PostgresSession, lost: PostgresSession, batch: CommitBatch): Promise<void> {
    return settleLostCommit(session, lost, batch);
  }

  async lock(session: PostgresSession, scope: ClaimScope): Promise<ClaimScope> {
    const takeTable = () => this.#alone.attempt(() => writing.lockTable(session));
    return (await writing.lock(session, { takeTable: scope === "everybody" ? takeTable : undefined }))
      ? "everybody"
      : "servers";
  }

  async unlock(session: PostgresSession): Promise<void> {
    try {
      await writing.unlock(session);
    } catch (error) {
      session.destroy(new DriverError("failed", "Cannot take a transaction back", { cause: error }));
    }
  }

  fillGaps(session: PostgresSession, ids: readonly number[]): Promise<void> {
    return writing.fillGaps(session, ids);
  }

  prune(session: PostgresSession, pruning: Pruning): Promise<void> {
    return writing.prune(session, pruning);
  }

  size(session: PostgresSession): Promise<DatabaseSize> {
    return reading.readSize(session);
  }

  defragment(session: PostgresSession): Promise<void> {
    return writing.defragment(session);
  }

  async listen(session: PostgresSession, onAnnouncement: (announcement: Announcement) => void): Promise<void> {
    const [row] = await session.query({ text: `SELECT ${CHANNEL}` });
    await session.listen(String(row?.[0]), (payload) => {
      const [lastRow, writer] = payload.split(" ");
      onAnnouncement({ lastRow: Number(lastRow) || 0, isOwn: writer === this.#writer });
    });
  }
}

function meaningAlone(error: unknown): "later" | "never" | undefined {
  const state = sqlState(error);
  if (state === "55P03" || state === "40P01") return "later"; // lock_not_available, deadlock_detected
  return state === "42501" || state === "0A000" ? "never" : undefined; // insufficient_privilege, feature_not_supported
}
