/** Position in the one total order of changes. Below 2^53 in practice, so a plain number. */
export type Revision = number & { readonly __brand: "Revision" };
/** Brands a number that is known to be a position in that order; checks nothing. */
export const revision = (value: number): Revision => value as Revision;

/** Lease ids are full 64-bit numbers. 0n means "no lease". */
export type LeaseId = bigint;

/** One version of one key, as etcd's mvccpb.KeyValue. */
export interface KeyValue {
  readonly key: Buffer;
  readonly createRevision: Revision;
  readonly modRevision: Revision;
  readonly version: number;
  readonly lease: LeaseId;
  /** Empty for keys-only answers and in tombstones. */
  readonly value: Buffer;
}

/** `rangeEnd` empty: the single key. `rangeEnd` = one zero byte: everything from `key` on. Byte order, end exclusive. */
export interface KeyRange {
  readonly key: Buffer;
  readonly rangeEnd: Buffer;
}

export type SortTarget = "key" | "version" | "create" | "mod" | "value";

interface RangeSort {
  readonly target: SortTarget;
  readonly descending: boolean;
  /** Looks at the first keys only, in the order of keys and one more than the limit; without filters. Default: at all of the range. */
  readonly firstKeysOnly?: boolean;
}

export interface RangeQuery extends KeyRange {
  /** Answers from what this server knows, without asking a shared database for what others wrote. Default false. */
  readonly serializable?: boolean;
  /** 0: no limit. */
  readonly limit: number;
  /** 0: the current revision. */
  readonly revision: number;
  readonly keysOnly: boolean;
  readonly countOnly: boolean;
  readonly sort?: RangeSort;
  readonly minModRevision?: number;
  readonly maxModRevision?: number;
  readonly minCreateRevision?: number;
  readonly maxCreateRevision?: number;
}

export interface RangeResult {
  /** Current revision of the store, also when an older one was asked for. */
  readonly revision: Revision;
  readonly kvs: readonly KeyValue[];
  readonly more: boolean;
  /** Live keys in the range at the revision that was read, ignoring `limit`. Exact. */
  readonly count: number;
}

export interface PutOp {
  readonly kind: "put";
  readonly key: Buffer;
  readonly value: Buffer;
  readonly lease: LeaseId;
  readonly prevKv: boolean;
  readonly ignoreValue: boolean;
  readonly ignoreLease: boolean;
}
export interface DeleteOp extends KeyRange {
  readonly kind: "delete";
  readonly prevKv: boolean;
}
export interface RangeOp {
  readonly kind: "range";
  readonly query: RangeQuery;
}
interface TxnOp {
  readonly kind: "txn";
  readonly txn: Txn;
}
export type Op = PutOp | DeleteOp | RangeOp | TxnOp;

export type CompareResult = "equal" | "greater" | "less" | "notEqual";

export interface Compare extends KeyRange {
  readonly result: CompareResult;
  readonly target:
    | { readonly field: "version" | "create" | "mod"; readonly value: number }
    | { readonly field: "lease"; readonly value: LeaseId }
    | { readonly field: "value"; readonly value: Buffer };
}

export interface Txn {
  readonly compare: readonly Compare[];
  readonly success: readonly Op[];
  readonly failure: readonly Op[];
}

export type OpResult =
  | { readonly kind: "put"; readonly prevKv: KeyValue | undefined }
  | {
      readonly kind: "delete";
      /** That of the transaction, unless nothing was changed so far: then the one before. */
      readonly revision: Revision;
      readonly deleted: number;
      readonly prevKvs: readonly KeyValue[];
    }
  | { readonly kind: "range"; readonly range: RangeResult }
  | { readonly kind: "txn"; readonly txn: TxnResult };

export interface TxnResult {
  /** Revision of this transaction when it wrote, else the current one. */
  readonly revision: Revision;
  readonly succeeded: boolean;
  readonly results: readonly OpResult[];
}

export interface WatchEvent {
  readonly type: "put" | "delete";
  /** For a delete only key and modRevision carry meaning. */
  readonly kv: KeyValue;
  /** State before the event; undefined for creations and when that version is compacted. Always filled, the API drops it when not asked for. */
  readonly prevKv: KeyValue | undefined;
}

/** What a watch is told. Events of one revision are never split over two batches, unless one says that it is a part. */
export interface WatchBatch {
  readonly revision: Revision;
  readonly events: readonly WatchEvent[];
  /** The next batch belongs to this one, and nothing comes between: they are too many for one turn of the event loop. */
  readonly isPart: boolean;
}

export interface WatchRequest extends KeyRange {
  /** First revision wanted; 0 or beyond the current one: only what happens from now on. */
  readonly startRevision: number;
  /** Called in revision order, never before `watch()` returned. */
  readonly onEvents: (batch: WatchBatch) => void;
  /** The watch is over: history needed for it was compacted away, or the store stopped. */
  readonly onEnd: (end: WatchEnd) => void;
  /**
   * Asked for before each piece of history is read, and disposed of when that was handed over: history comes no faster
   * than its reader takes it. Without it, as fast as it can be read.
   */
  readonly takeTurn?: () => Promise<Disposable>;
}

export type WatchEnd =
  { readonly reason: "compacted"; readonly compactRevision: Revision } | { readonly reason: "stopped" };

export interface Watch {
  /** Current revision of the store when the watch was made: the header of etcd's `created` answer. */
  readonly revision: Revision;
  /** Everything up to here has been handed to `onEvents`. undefined while history is still being replayed. */
  progress(): Revision | undefined;
  /** No callback after this. */
  close(): void;
}

export interface LeaseTerm {
  readonly id: LeaseId;
  readonly grantedTtlSeconds: number;
  /** Whole seconds left, -1 for an unknown lease. */
  readonly remainingTtlSeconds: number;
}

export interface LeaseInfo extends LeaseTerm {
  readonly keys: readonly Buffer[];
}

export interface StoreStatus {
  readonly revision: Revision;
  readonly compactRevision: Revision;
  /** Bytes on disk, and of those bytes in use. */
  readonly dbSizeBytes: number;
  readonly dbSizeInUseBytes: number;
}

/** A hash of the history that can be read. */
export interface StoreHash {
  /** Current revision of the store. */
  readonly revision: Revision;
  /** 32 bits; equal on servers that have the same content from `compactRevision` to `hashRevision`. */
  readonly hash: number;
  readonly hashRevision: Revision;
  readonly compactRevision: Revision;
}

/** A copy of the whole database as of one moment, in the database's own format. */
export interface DatabaseSnapshot extends AsyncDisposable {
  readonly sizeBytes: number;
  /** To be read once, before it is disposed of. */
  readonly chunks: AsyncIterable<Buffer>;
}

/** Who waits for an answer. */
export interface Caller {
  /** Nobody does any more. */
  readonly isOver: boolean;
}

export interface TxnOptions {
  /** A large deletion that meets other writers is not planned anew once this one has gone. Default: somebody who stays. */
  readonly caller?: Caller;
  /** {@link Store.fresh} was waited for: what only reads need not ask again. Default false. */
  readonly isFresh?: boolean;
}

/**
 * The multi-version store: what the etcd API is a translation of. Every promise of a write is kept only after the write is durable.
 * Rejections: StoreError of `store-errors.ts` for what a client did wrong or must wait for; anything else is a bug.
 */
export interface Store {
  /** Resolves once `serializable` reads show all that any server acknowledged before the call. At once where nobody else writes. */
  fresh(): Promise<void>;
  range(query: RangeQuery): Promise<RangeResult>;
  txn(txn: Txn, options?: TxnOptions): Promise<TxnResult>;
  /** Resolves once reads below `at` are refused; the rows go later, in slices. */
  compact(at: number): Promise<Revision>;
  watch(request: WatchRequest): Watch;
  leaseGrant(lease: { readonly id: LeaseId; readonly ttlSeconds: number }): Promise<LeaseTerm>;
  leaseRevoke(id: LeaseId): Promise<Revision>;
  leaseKeepAlive(id: LeaseId): Promise<LeaseTerm>;
  leaseTimeToLive(id: LeaseId): Promise<LeaseInfo>;
  leaseList(): Promise<readonly LeaseId[]>;
  status(): Promise<StoreStatus>;
  /** Returns free pages of the database to the file system. */
  defragment(): Promise<void>;
  /** Hashes the history up to a revision; 0: the current one. Refused as reads are. */
  hash(revision: number): Promise<StoreHash>;
  /** undefined: this database cannot be copied from here. */
  snapshot(): Promise<DatabaseSnapshot | undefined>;
  /** Current revision, without waiting. */
  readonly currentRevision: Revision;
  /** Whether the last put was refused for want of disk space; the next one that fits ends it. */
  readonly isFull: boolean;
}
