import type { LeaseId } from "./types.ts";

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

/** A lease as it survives a restart. `expiresAtMs` is wall-clock time since the epoch. */
export interface LeaseRecord {
  readonly id: LeaseId;
  readonly ttlSeconds: number;
  readonly expiresAtMs: number;
}

/** Rows `first` to `last` are one transaction and share the revision `last`. */
export interface RowSpan {
  readonly first: number;
  readonly last: number;
}

/** What becomes durable together, in one transaction of the database. */
export interface CommitBatch {
  readonly rows: readonly NewRow[];
  readonly spans: readonly RowSpan[];
  readonly leases: readonly LeaseRecord[];
  readonly endedLeases: readonly LeaseId[];
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
  /** Rows after the id `after` in id order, at most `limit`. A short answer means there is no more. */
  heads(after: number, limit: number): Promise<readonly RowHead[]>;
  side(): Promise<SideState>;
  /** Values by row id, in the order asked; undefined where there is no such row. NULL is an empty value. */
  values(rows: readonly number[]): Promise<readonly (Buffer | undefined)[]>;
  /** Resolves once all of it is durable. Rejects with kind `conflict` when an id or (name, prev) exists; then nothing was written. */
  commit(batch: CommitBatch): Promise<void>;
  prune(pruning: Pruning): Promise<void>;
  size(): Promise<DatabaseSize>;
  defragment(): Promise<void>;
  /** Ends everything, after what was asked before. Any number of times. */
  close(): Promise<void>;
}

/** `conflict`: another program wrote to the table. `noSpace`: the disk is full. `failed`: anything else; the outcome may be open. */
export type DriverErrorKind = "conflict" | "noSpace" | "failed";

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
  rows: [],
  spans: [],
  leases: [],
  endedLeases: [],
  rowLeases: [],
  compactRevision: undefined,
};
