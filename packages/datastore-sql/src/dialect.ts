import type {
  ChangedRow,
  ClaimScope,
  CommitBatch,
  DatabaseSize,
  DriverErrorKind,
  LeaseRecord,
  Position,
  Pruning,
  RowHead,
  RowSpan,
  SideState,
} from "@k3s/datastore";

/** One connection to the database, with what the dialect keeps of it. Statements on it run one after the other. */
export interface SqlSession {
  /** Aborts, with the reason, once the connection is of no use any more: lost, ended or destroyed. */
  readonly lost: AbortSignal;
  /** Says goodbye and closes. Never rejects; what still runs may fail. */
  end(): Promise<void>;
  /** Drops the connection at once. What runs on it rejects soon after. */
  destroy(reason: Error): void;
}

/** A part of the table: rows with an id above `after`, the first `limit` of them. */
export interface RowPage {
  readonly after: number;
  readonly limit: number;
}

/** A word from another session that the table has grown, possibly from ourselves. */
export interface Announcement {
  readonly lastRow: number;
  /** Written through this very driver. */
  readonly isOwn: boolean;
}

/**
 * `readOnly`: the database takes no writes now. `retry`: the database took the statement back, for instance to end a deadlock;
 * the same again can work. The others are the store's kinds.
 */
export type FailureKind = DriverErrorKind | "readOnly" | "retry";

/**
 * What differs between databases that speak SQL: how to connect, and each operation in the database's own words.
 * Methods reject with whatever the client library throws; `classify` tells what it means. Time limits, reconnecting, the order of
 * writes, missing ids and looking for changes are not the dialect's business: `SqlDriver` does them.
 */
export interface Dialect<Session extends SqlSession> {
  /** Name of the product for messages, as `PostgreSQL`. */
  readonly product: string;
  /** How long connecting may take in all, with every host that is tried, in ms. */
  readonly connectLimitMs: number;
  /** Connects and prepares a session for all that is below. Gives up when `signal` aborts. */
  connect(signal: AbortSignal): Promise<Session>;
  classify(error: unknown): FailureKind;

  /** Why the table cannot hold a row of this name. Absent: it holds every name. */
  refusal?(name: string): string | undefined;

  /** One statement, no values. */
  heads(session: Session, page: RowPage): Promise<readonly RowHead[]>;
  /** As `heads`, with values and leases. */
  rows(session: Session, page: RowPage): Promise<readonly ChangedRow[]>;
  /** Spans that have a row in `after` < id <= `upTo`, in order. */
  spans(session: Session, range: { readonly after: number; readonly upTo: number }): Promise<readonly RowSpan[]>;
  side(session: Session): Promise<SideState>;
  leases(session: Session): Promise<readonly LeaseRecord[]>;
  /** The clock of the database's host, in ms since the epoch, whatever its time zone. */
  clockMs(session: Session): Promise<number>;
  /** Values by id; NULL is an empty value, absent rows are absent. */
  values(session: Session, ids: readonly number[]): Promise<ReadonlyMap<number, Buffer>>;
  /** Asked very often: as cheap as can be, and never from an old snapshot. */
  position(session: Session): Promise<Position>;
  /** Whether the table has kine's compaction marker. */
  hasMarker(session: Session): Promise<boolean>;
  /** Which of the ids are in the table, in any order. */
  present(session: Session, ids: readonly number[]): Promise<readonly number[]>;

  /**
   * Everything of the batch in one transaction, whatever its size (see `partsOf`). With rows or ended leases it takes the one lock; then false is the answer, and
   * nothing was written, when the last row is not `batch.after`, or a row names a lease that is neither stored nor in the batch.
   * A session that holds the lock already goes on in its transaction, which ends whatever comes of it.
   */
  commit(session: Session, batch: CommitBatch): Promise<boolean>;
  /**
   * Ends a commit on the server's side whose session was lost on the way. Resolves once it has taken effect or cannot any more, where it
   * may leave a gap row in place of its first row. Absent: the database does this by itself.
   */
  forget?(session: Session, lost: Session, batch: CommitBatch): Promise<void>;
  /**
   * Begins a transaction for a claim, and resolves with whom it keeps back: servers by the one lock, or everybody, which is not always to
   * be had. Then no id is on its way, and other sessions may have to wait for its end even with reads. Claims wait for each other
   * before they take anything that others wait for.
   */
  lock(session: Session, scope: ClaimScope): Promise<ClaimScope>;
  /** Takes back the transaction of `lock`. */
  unlock(session: Session): Promise<void>;
  /**
   * Puts a gap row, as kine makes them, at each of the ids (in order) where no row is. Waits for rows that are not committed yet:
   * afterwards each id is either in the table or can never be.
   */
  fillGaps(session: Session, ids: readonly number[]): Promise<void>;
  prune(session: Session, pruning: Pruning): Promise<void>;
  size(session: Session): Promise<DatabaseSize>;
  defragment(session: Session): Promise<void>;

  /** Present when the database can push: tells of commits of all drivers until the session is lost. */
  listen?(session: Session, onAnnouncement: (announcement: Announcement) => void): Promise<void>;
}
