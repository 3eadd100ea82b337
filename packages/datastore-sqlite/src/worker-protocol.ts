import type { DatabaseSize, LeaseRecord, Position, Pruning, RowSpan } from "@k3s/datastore";
import type { SqliteSettings } from "./sqlite-settings.ts";

/** A row to insert; its value lies in the shared buffer, length -1 for NULL. */
export type PackedRow = readonly [
  id: number,
  name: string,
  created: 0 | 1,
  deleted: 0 | 1,
  createRevision: number,
  prevRevision: number,
  ttlSeconds: number,
  offset: number,
  length: number,
];

/** Many rows: the numbers of each, 64 bits wide, the lengths of the names, and the names as UTF-8. */
export interface PackedColumns {
  readonly numbers: ArrayBuffer;
  readonly nameLengths: ArrayBuffer;
  readonly names: ArrayBuffer;
}

/** Ends of many keys: of the key of each row in `rows`, numbers 64 bits wide, in rows from the id `first` on. */
export interface PackedDeletions {
  readonly first: number;
  readonly rows: ArrayBuffer;
}

export interface PackedBatch {
  /** The last row, on which it was planned. */
  readonly after: number;
  readonly rows: readonly PackedRow[];
  /** More rows, instead of those. */
  readonly columns?: PackedColumns;
  readonly deletions?: PackedDeletions;
  readonly values: ArrayBuffer;
  readonly spans: readonly RowSpan[];
  readonly leases: readonly LeaseRecord[];
  readonly endedLeases: readonly bigint[];
  readonly rowLeases: readonly (readonly [row: number, lease: bigint])[];
  readonly compactRevision: number | undefined;
}

export interface PackedValues {
  /** Bytes of each value, -1 where there is no such row. */
  readonly lengths: readonly number[];
  readonly bytes: ArrayBuffer;
}

export interface PreparedSchema {
  /** Rows taken from an old table. */
  readonly copiedRows: number;
  /** Names of kine's indexes that were there, and are no more. */
  readonly droppedIndexes: readonly string[];
}

export interface PackedSide {
  readonly leases: readonly LeaseRecord[];
  readonly rowLeases: readonly (readonly [row: number, lease: bigint])[];
  readonly spans: readonly RowSpan[];
}

export interface CheckpointResult {
  /** Whether another connection kept part of the log from being written back. */
  readonly busy: boolean;
  readonly walBytes: number;
}

/** What a worker can be asked, by name. Each request has one argument. */
export interface Requests {
  /** The first thing that SQLite's quick check finds wrong, if any. Reads the whole file. */
  quickCheck: { readonly argument: undefined; readonly answer: readonly string[] };
  /** Brings the tables into being, with kine's guard where others have the file open. */
  prepare: { readonly argument: { readonly hasOthers: boolean }; readonly answer: PreparedSchema };
  /** Makes the index that heads are read from. Answers whether it was missing. */
  indexHeads: { readonly argument: undefined; readonly answer: boolean };
  commit: { readonly argument: PackedBatch; readonly answer: void };
  prune: { readonly argument: Pruning; readonly answer: void };
  /** Returns free pages to the file system, a limited number at a time; where the file must be written anew for that, all or none. Answers whether there are more. */
  vacuum: { readonly argument: { readonly mayRewrite: boolean }; readonly answer: boolean };
  heads: { readonly argument: { readonly after: number; readonly limit: number }; readonly answer: PackedColumns };
  side: { readonly argument: undefined; readonly answer: PackedSide };
  values: { readonly argument: readonly number[]; readonly answer: PackedValues };
  position: { readonly argument: undefined; readonly answer: Position };
  size: { readonly argument: undefined; readonly answer: DatabaseSize };
  integrity: { readonly argument: undefined; readonly answer: readonly string[] };
  /** What opening the file for writing would mend. */
  findings: { readonly argument: undefined; readonly answer: readonly string[] };
  /** Whether the rows are still in the table of kine's predecessor. */
  uncopied: { readonly argument: undefined; readonly answer: boolean };
  /** From here on reads show the file as it is now, until they are released. */
  hold: { readonly argument: undefined; readonly answer: void };
  release: { readonly argument: undefined; readonly answer: void };
  checkpoint: { readonly argument: { readonly truncate: boolean }; readonly answer: CheckpointResult };
  /** Writes a compact copy of the database to a file, which is empty or absent. */
  copy: { readonly argument: string; readonly answer: void };
  /** Closes the connection and ends the thread. */
  close: { readonly argument: undefined; readonly answer: void };
}
export type Operation = keyof Requests;

export interface WorkerRequest {
  readonly id: number;
  readonly operation: Operation;
  readonly argument: Requests[Operation]["argument"];
}

export type WorkerResponse =
  | { readonly id: number; readonly answer: Requests[Operation]["answer"] }
  | { readonly id: number; readonly failure: WorkerFailure };

/** `code` is SQLite's, as `SQLITE_FULL`, or one of ours: {@link ROWS_AFTER}, or beginning with `SCHEMA_`. */
export interface WorkerFailure {
  readonly code: string;
  readonly message: string;
}

/** Code of a commit that was not planned on the last row. */
export const ROWS_AFTER = "ROWS_AFTER";

export interface WorkerSettings {
  readonly path: string;
  readonly isReadOnly: boolean;
  /** Page cache of the connection: pages, or KiB when negative. */
  readonly cachePages: number;
  /** How long SQLite waits for a lock that another connection holds. */
  readonly busyTimeoutMs: number;
  readonly synchronous: NonNullable<SqliteSettings["synchronous"]>;
  readonly autoVacuum: NonNullable<SqliteSettings["autoVacuum"]>;
  readonly secureDelete: SqliteSettings["secureDelete"];
}

/** What a worker is started with. */
export interface WorkerData extends WorkerSettings {
  /** SQLite's native part; undefined: where the library finds it. */
  readonly addon: string | undefined;
}
