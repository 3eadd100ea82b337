import type { ConnectionStats } from "./connection-use.ts";
import type { DatabaseSnapshot, LeaseId } from "./types.ts";

/** One row of kine's table as it is on disk, without its values. Missing numbers are 0. */
export interface RowHead {
  readonly id: number;
  readonly name: string;
  readonly created: boolean;
  readonly deleted: boolean;
  readonly createRevision: number;
  readonly prevRevision: number;
  readonly ttlSeconds: number;
}

/** A row to write. The driver fills `old_value` from the row `prevRevision` unless the row is a creation. */
export interface NewRow extends RowHead {
  /** Real lease id, kept beside the table; 0n: none. */
  readonly lease: LeaseId;
  /** undefined: NULL, for tombstones. */
  readonly value: Buffer | undefined;
}

/**
 * A lease as it survives a restart. `expiresAtMs` is in ms since the epoch, by `SharedDatabase.clockMs` where there is one, else by the
 * clock of this machine.
 */
export interface LeaseRecord {
  readonly id: LeaseId;
  readonly ttlSeconds: number;
  readonly expiresAtMs: number;
}

/** As `expiresAtMs`: the lease has run out, and a server that keeps the end apart from its rows is about to write them. Nobody renews it. */
export const ENDING_MS = 0;

/** Rows `first` to `last` are one transaction and share the revision `last`. */
export interface RowSpan {
  readonly first: number;
  readonly last: number;
}

/**
 * Ends of many keys, without an object for each: the key of the row `rows[i]`, which is its newest one, ends with the row `first + i`. The
 * driver takes the name and the value before from that row. Where another program has removed it nobody has the key any more, and the row is a gap.
 */
export interface KeyDeletions {
  readonly first: number;
  readonly rows: Float64Array;
}

/** A lease that has run out. */
export type DueLease = Pick<LeaseRecord, "id" | "expiresAtMs">;

/** What becomes durable together, in one transaction of the database. */
export interface CommitBatch {
  /** Last row that the batch was planned on; 0: none. A shared database refuses the batch when its last row is another one. */
  readonly after: number;
  readonly rows: readonly NewRow[];
  /** More rows, instead of those. Only for a driver that takes them. */
  readonly deletions?: KeyDeletions;
  readonly spans: readonly RowSpan[];
  /** Granted or renewed. A shared database may keep a later end that is stored: that was told to somebody. */
  readonly leases: readonly LeaseRecord[];
  readonly endedLeases: readonly LeaseId[];
  /** Leases that it renews or ends, and that it does not grant itself: a shared database refuses the batch when one is not stored. */
  readonly requiredLeases: readonly LeaseId[];
  /**
   * Of those it ends, the ones whose time is over, with the stored end that says so: a shared database refuses the batch as a conflict when
   * another end is stored, as somebody has renewed that lease and told its holder.
   */
  readonly dueLeases: readonly DueLease[];
  /** Assigns leases to rows that are there already (written by kine, which keeps only the TTL). */
  readonly rowLeases: readonly (readonly [row: number, lease: LeaseId])[];
  /** Moves kine's compaction marker; undefined: leave it. */
  readonly compactRevision: number | undefined;
}

/** All that is kept beside the table. */
export interface SideState {
  readonly leases: readonly LeaseRecord[];
  readonly rowLeases: ReadonlyMap<number, LeaseId>;
  readonly spans: readonly RowSpan[];
}

/** What a compaction removes: rows by id, and spans up to an id that have no row left. */
export interface Pruning {
  readonly rows: readonly number[];
  readonly spansUpTo: number;
}

/** What a database cannot do as kine's table in SQL does it. The engine keeps etcd's promises on every combination. */
export interface DriverTraits {
  /**
   * `any`: rows have the ids they were given, with holes between them. `consecutive`: the database counts by itself. A batch with
   * other ids than `after + 1`, `after + 2`, … is refused as `failed`; as `after` is the last row, ids are not looked at one by one.
   */
  readonly ids: "any" | "consecutive";
  /** Whether the table itself refuses a second row of one (name, prev). Else `after` alone keeps them unique. */
  readonly guardsNames: boolean;
  /**
   * `batch`: all or nothing. `transaction`: of a batch that fails with kind `failed` the first transactions may be there, each span
   * whole. Its leases and ended leases count from its last row on, so the engine gives such a driver the end of a lease together
   * with rows of that end only, and grants without rows.
   */
  readonly atomic: "batch" | "transaction";
  /**
   * `every-row`: the rows that were named. `deleted-keys`: only where all rows of a key up to its tombstone go, and not the newest row
   * of all. What stays is superfluous: the next load finds it again and compacts it again.
   */
  readonly prunes: "every-row" | "deleted-keys";
  /** Whether a batch may have {@link CommitBatch.deletions}. Default: no. */
  readonly takesDeletions?: boolean;
}

/** Kine's table in a database of SQL. */
export const tableTraits: DriverTraits = { ids: "any", guardsNames: true, atomic: "batch", prunes: "every-row" };

/** Why a row cannot be held: `part` is what is too large, `state` the end of a sentence. */
export interface RowRefusal {
  readonly part: "name" | "value";
  readonly state: string;
}

/** Bytes of the database on disk, and of those the bytes in use. */
export interface DatabaseSize {
  readonly totalBytes: number;
  readonly inUseBytes: number;
}

/**
 * What differs between databases. Everything else lives above this line. All rejections are DriverError.
 * Commits and prunings take effect in the order of the calls.
 */
export interface Driver {
  readonly traits: DriverTraits;
  /** Rows after the id `after` in id order, at most `limit`. A short answer means there is no more. */
  heads(after: number, limit: number): Promise<readonly RowHead[]>;
  side(): Promise<SideState>;
  /** Values by row id, in the order asked; undefined where there is no such row. NULL is an empty value. */
  values(rows: readonly number[]): Promise<readonly (Buffer | undefined)[]>;
  /**
   * Resolves once all of it is durable. Rejects with kind `conflict` when it has rows and there are rows after `batch.after`, or when an
   * id or (name, prev) exists; then nothing was written. A shared database checks more while it holds its lock: ended leases are a `conflict`
   * with rows after `batch.after` as well, and so is a row that names a lease which is neither stored nor in the batch. Every batch is one
   * when a lease that it requires is not stored. `traits` say where a database differs.
   */
  commit(batch: CommitBatch): Promise<void>;
  prune(pruning: Pruning): Promise<void>;
  /** Resolves when a pruning would not hold up commits more than it has to. Never rejects. Absent: at any time. */
  readyToPrune?(): Promise<void>;
  size(): Promise<DatabaseSize>;
  defragment(): Promise<void>;
  /** Ends everything, after what was asked before. Any number of times. */
  close(): Promise<void>;
  /** Why the table cannot hold a row of this name with a value of so many bytes; undefined: it can. Absent: it holds every one. */
  refusal?(name: string, valueBytes: number): RowRefusal | undefined;
  /** A copy of the database, made while all else goes on. Absent or undefined: it has to be made with the database's own tools. */
  snapshot?(): Promise<DatabaseSnapshot | undefined>;
  /** How its connections to the database are used. Absent where they are not of the kind that runs one statement after the other. */
  connections?(): ConnectionStats;
  /** Present when other servers may write to the same database at any time. */
  readonly shared?: SharedDatabase;
  /** Present where the database is made for one server, and another program may have it open all the same. */
  readonly guests?: Guests;
}

/** A database opened for reading alone: nothing in it is made, changed or mended, whatever state it is in. */
export interface DatabaseReader extends Pick<Driver, "heads" | "side" | "values" | "size" | "close"> {
  /** What a server would mend, refuse or warn of in this database, as sentences; empty: nothing. */
  findings(): Promise<readonly string[]>;
  /** Lets `read` see heads and side of one moment. Absent where they are anyway. */
  atOneMoment?<T>(read: () => Promise<T>): Promise<T>;
}

/** A row with what a watch tells of it. */
export interface ChangedRow extends RowHead {
  readonly lease: LeaseId;
  /** undefined: NULL, or one of too many; `values` reads it then. That of the compaction key is always there. */
  readonly value: Buffer | undefined;
}

/** Where a shared database stands. */
export interface Position {
  /** Id of the last row; 0: none. */
  readonly lastRow: number;
  /** What the newest compaction marker says; 0: none. */
  readonly compactRevision: number;
}

/** Rows in id order, whole spans only, with the spans among them. */
export interface Changes {
  readonly rows: readonly ChangedRow[];
  readonly spans: readonly RowSpan[];
  /**
   * Above 0 where the database dropped rows before they could be read: history is whole from this revision on, and the rows reach it.
   * Absent or 0: nothing is missing.
   */
  readonly completeFrom?: number;
}

/** Whom a claim keeps back: our own servers, or also programs that know of no claims. */
export type ClaimScope = "servers" | "everybody";

/** Keeps the commits of other servers back. */
export interface Claim {
  /**
   * Keeps them back for `CLAIM_LIMIT_MS` from now on, where the claim has not ended: for a commit that takes longer to prepare. Rejects
   * with DriverError.
   */
  keep(): Promise<void>;
  /** Lets others commit. Without effect after a commit of the same driver, which ends the claim too. */
  release(): Promise<void>;
}

/** What others write to the table. */
export interface ForeignRows {
  /** Read from the database during the call: commits acknowledged before, by any server, are not above it. */
  position(): Promise<Position>;
  /** What stands behind the row `after`, about `limit` rows. Waits until ids that are missing among them can no longer appear. */
  changes(after: number, limit: number): Promise<Changes>;
  /** `listener` is called whenever others may have written. One listener: a second call replaces the first. */
  onChange(listener: () => void): void;
}

/** Programs that write to the database of one server, and know of neither leases nor claims: a kine. */
export interface Guests extends ForeignRows {
  /**
   * Whether one was seen that has the database open, or had it open since the last time that all of its rows were read. For every read, so it
   * takes microseconds. One that is too quick to be seen counts as soon as its rows are found ({@link compare}).
   */
  areThere(): boolean;
  /**
   * `shown` says up to where rows were read and which compaction is known: who leaves more than that, which is not of this driver either, was
   * there unseen, and counts as there again. Before it is given, nothing is compared. A second call replaces the first.
   */
  compare(shown: () => Position): void;
}

/**
 * A database with several writers. Every commit of ours takes one lock of the database, so the order of ids is the order of
 * commits. kine does not take it: ids that it left out are settled by the driver before it shows a row behind them.
 */
export interface SharedDatabase extends ForeignRows {
  /** All leases as they are stored now. */
  leases(): Promise<readonly LeaseRecord[]>;
  /** The one clock that leases of all servers end by, in ms since the epoch, read during the call. */
  clockMs(): Promise<number>;
  /**
   * Takes the lock that commits take, for the next commit of this driver; given back by itself after `CLAIM_LIMIT_MS` unless it is kept.
   * `everybody` costs more, and is no more than `servers` where the database cannot keep others back without harm to them.
   */
  claim(scope: ClaimScope): Promise<Claim>;
  /** Absent: the database announces every commit by itself, always. */
  readonly hints?: CommitHints | undefined;
}

/** What has to be asked before an answer from memory is true; undefined: nobody else writes. */
export function foreignRowsOf({ shared, guests }: Pick<Driver, "shared" | "guests">): ForeignRows | undefined {
  return shared ?? (guests?.areThere() === true ? guests : undefined);
}

/** How servers on one database tell each other of commits. What is said is a hint: only the database's answer counts. */
export interface CommitHints {
  /**
   * `listener` is called with the last row after each commit of this driver that, as far as it can tell, the database does not announce
   * to the others. One listener: a second call replaces the first.
   */
  onCommit(listener: (lastRow: number) => void): void;
  /** Another server says that this row is there: the database is asked now and not later. Wrong and old rows do no harm. */
  take(lastRow: number): void;
}

/** How long others wait at most for a server that claimed the next commit and does not make it, in ms. */
export const CLAIM_LIMIT_MS = 2000;

/**
 * `conflict`: another program wrote to the table. `noSpace`: the disk is full. `refused`: the database can never hold the batch as it is, for
 * the reason that the message or its cause gives; nothing was written. `failed`: anything else; the outcome may be open.
 */
export type DriverErrorKind = "conflict" | "noSpace" | "refused" | "failed";

/** The database refused or could not be reached. */
export class DriverError extends Error {
  override readonly name = "DriverError";
  readonly kind: DriverErrorKind;

  constructor(kind: DriverErrorKind, message: string, options: ErrorOptions = {}) {
    super(message, options);
    this.kind = kind;
  }
}

/** A batch that changes nothing, to be spread. */
export const emptyBatch: CommitBatch = {
  after: 0,
  rows: [],
  spans: [],
  leases: [],
  endedLeases: [],
  requiredLeases: [],
  dueLeases: [],
  rowLeases: [],
  compactRevision: undefined,
};
