import { failpoint } from "@k3s/failpoints";
import type { Logger } from "@k3s/log";
import { Adoption } from "./adoption.ts";
import { BulkDelete } from "./bulk-delete.ts";
import { Committer } from "./committer.ts";
import { Compactor } from "./compactor.ts";
import { foreignRowsOf, type Driver } from "./driver.ts";
import { sideDraft, type Plan } from "./draft.ts";
import { Follow } from "./follow.ts";
import { HistoryHash } from "./history-hash.ts";
import { Leases } from "./leases.ts";
import { ReadIndex } from "./read-index.ts";
import { MvccIndex, NEWEST } from "./mvcc-index.ts";
import { futureRevision } from "./range-selection.ts";
import { RangeReader } from "./range-reader.ts";
import { Recovery } from "./recovery.ts";
import { RowLoader, type Loaded } from "./row-loader.ts";
import { StoreError } from "./store-errors.ts";
import { StoreWatch } from "./store-watch.ts";
import { toStoreError } from "./to-store-error.ts";
import { checkTxn } from "./txn-check.ts";
import { canReadPast, canWrite, TxnPlanner } from "./txn-planner.ts";
import type {
  DatabaseSnapshot,
  LeaseId,
  LeaseInfo,
  LeaseTerm,
  RangeQuery,
  RangeResult,
  Revision,
  Store,
  StoreHash,
  StoreStatus,
  Txn,
  TxnOptions,
  TxnResult,
  Watch,
  WatchRequest,
} from "./types.ts";
import { revision } from "./types.ts";
import { ValueCache } from "./value-cache.ts";
import { WatchHub } from "./watch-hub.ts";

export interface MvccStoreOptions {
  readonly log: Logger;
  readonly valueCacheBytes: number;
}

/** The store over one driver: reads from memory, writes through the group commit. Made by `openStore`. */
export class MvccStore implements Store {
  readonly #driver: Driver;
  readonly #log: Logger;
  readonly #stop = new AbortController();
  readonly #index = new MvccIndex();
  readonly #values: ValueCache;
  readonly #reader: RangeReader;
  readonly #compactor: Compactor;
  readonly #leases: Leases;
  readonly #hub: WatchHub;
  readonly #committer: Committer;
  readonly #readIndex: ReadIndex | undefined;
  readonly #recovery: Recovery;
  readonly #adoption: Adoption;
  readonly #follow: Follow;
  #compactions: Promise<unknown> = Promise.resolve();
  /** Newest compaction of another server that the compactor was told of. */
  #adopted = 0;
  #clock: Promise<void> = Promise.resolve();
  #closing: Promise<void> | undefined;

  constructor(driver: Driver, options: MvccStoreOptions) {
    const { signal } = this.#stop;
    const log = options.log;
    this.#driver = driver;
    this.#log = log;
    const index = this.#index;
    const values = new ValueCache(driver, options.valueCacheBytes, (version) => index.lose(version));
    this.#values = values;
    this.#reader = new RangeReader(index, values);
    this.#compactor = new Compactor({ driver, index, values, log, signal });
    this.#leases = new Leases({ driver, index, values, log, signal });
    this.#hub = new WatchHub();
    this.#recovery = new Recovery({
      ...{ driver, index, values, log, signal, hub: this.#hub, leases: this.#leases },
      adopt: (unleased) => this.#adoption.add(unleased),
    });
    this.#committer = new Committer({
      driver,
      index,
      values,
      log,
      publish: (events, at) => {
        this.#hub.publish(events, at);
        this.#leases.tidy();
      },
      publishFromLog: (interval, at) => this.#hub.publishFromLog(interval, { from: at, to: at }),
      reload: (onFailure, withLeases) => this.#recovery.run(onFailure, withLeases),
    });
    this.#adoption = new Adoption({ committer: this.#committer, leases: this.#leases, index, log, signal });
    this.#readIndex = this.#openReadIndex();
    this.#follow = new Follow({ fresh: () => this.fresh(), log, signal });
  }

  get currentRevision(): Revision {
    return revision(this.#index.committed);
  }

  get isFull(): boolean {
    return this.#committer.isFull;
  }

  /** Loads everything. Once, before anything else; what it returns decides how a new table is filled. */
  async load(): Promise<Loaded> {
    await this.#leases.readClock();
    const loaded = await new RowLoader(this.#driver, this.#index, this.#log).load();
    this.#leases.sync(loaded.side.leases);
    this.#leases.attach(loaded.versions);
    return loaded;
  }

  /** Begins the background work, after {@link load} and after the table was completed. */
  async begin(loaded: Loaded): Promise<void> {
    this.#committer.start();
    this.#hub.publish([], this.#index.committed);
    if (loaded.staleMarkers.length > 0) await this.#driver.prune({ rows: loaded.staleMarkers, spansUpTo: 0 });
    await this.#adoption.begin(loaded.unleased);
    this.#clock = this.#leases.run(this.#committer);
    this.#compactor.kick();
    const { shared, guests } = this.#driver;
    (shared ?? guests)?.onChange(() => void this.#follow.told());
    const index = this.#index;
    guests?.compare(() => ({ lastRow: index.committed, compactRevision: index.compactRevision }));
    await this.#follow.told();
  }

  fresh(): Promise<void> {
    if (this.#readIndex === undefined || foreignRowsOf(this.#driver) === undefined) return Promise.resolve();
    return this.#asStoreError(this.#readIndex.fresh());
  }

  async range(query: RangeQuery): Promise<RangeResult> {
    if (query.serializable !== true) await this.fresh();
    return this.#asStoreError(this.#reader.read(query));
  }

  async txn(txn: Txn, { caller, isFresh = false }: TxnOptions = {}): Promise<TxnResult> {
    checkTxn(txn, this.#driver);
    const parts = { index: this.#index, values: this.#values, leases: this.#leases.book };
    const deletion = BulkDelete.of(txn, { ...parts, traits: this.#driver.traits });
    if (deletion !== undefined) return this.#committer.runAlone(deletion, caller);
    const writes = canWrite(txn);
    if (!isFresh && (!writes || canReadPast(txn))) await this.fresh();
    if (writes)
      return this.#withLeases(() => this.#committer.run((pinned) => new TxnPlanner(parts, pinned, NEWEST).plan(txn)));
    return this.#committer.read((pinned) => new TxnPlanner(parts, pinned, this.#index.committed).plan(txn));
  }

  async compact(at: number): Promise<Revision> {
    await this.fresh();
    const done = this.#compactions.then(() => this.#compact(at));
    this.#compactions = done.catch(() => undefined);
    return done;
  }

  watch(request: WatchRequest): Watch {
    const watch = new StoreWatch(
      {
        index: this.#index,
        values: this.#values,
        hub: this.#hub,
        learnCompaction: () => this.fresh(),
        onReplayFailure: (error) => this.#log.error({ error }, "cannot replay history for a watch"),
      },
      request,
    );
    if (this.#stop.signal.aborted) setImmediate(() => watch.end({ reason: "stopped" }));
    return watch;
  }

  async leaseGrant(lease: { readonly id: LeaseId; readonly ttlSeconds: number }): Promise<LeaseTerm> {
    await this.#asStoreError(lease.id === 0n ? this.#leases.readClock() : this.#leases.learn());
    return this.#committer.run(() => this.#leases.grant(lease.id, lease.ttlSeconds));
  }

  leaseRevoke(id: LeaseId): Promise<Revision> {
    return this.#withLeases(() => this.#committer.run((pinned) => this.#leases.revoke(id, pinned)));
  }

  async leaseKeepAlive(id: LeaseId): Promise<LeaseTerm> {
    await this.#asStoreError(this.#leases.readClock());
    return this.#withLeases(() => this.#committer.run(() => this.#leases.renew(id)));
  }

  async leaseTimeToLive(id: LeaseId): Promise<LeaseInfo> {
    await this.#asStoreError(this.#leases.learn());
    return this.#committer.run(() => sideDraft(this.#leases.describe(id), {}));
  }

  async leaseList(): Promise<readonly LeaseId[]> {
    await this.#asStoreError(this.#leases.learn());
    return this.#committer.run(() => sideDraft(this.#leases.book.ids(), {}));
  }

  async status(): Promise<StoreStatus> {
    const { totalBytes, inUseBytes } = await this.#asStoreError(this.#driver.size());
    const { committed, compactRevision } = this.#index;
    return {
      revision: revision(committed),
      compactRevision: revision(compactRevision),
      dbSizeBytes: totalBytes,
      dbSizeInUseBytes: inUseBytes,
    };
  }

  defragment(): Promise<void> {
    return this.#asStoreError(this.#driver.defragment());
  }

  async hash(at: number): Promise<StoreHash> {
    await this.fresh();
    return this.#asStoreError(new HistoryHash(this.#index, this.#values).hash(at));
  }

  snapshot(): Promise<DatabaseSnapshot | undefined> {
    return this.#asStoreError(this.#driver.snapshot?.() ?? Promise.resolve(undefined));
  }

  /** Finishes the writes that were accepted, ends the watches, closes the driver. Any number of times. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#stop.abort(new Error("The store is closed"));
    await this.#committer.close();
    await Promise.all([this.#clock, this.#compactor.idle(), this.#follow.idle()]);
    this.#hub.stop();
    await this.#driver.close();
  }

  async #compact(at: number): Promise<Revision> {
    const index = this.#index;
    let withdraw: () => void = () => undefined;
    const plan: Plan<Revision> = () => {
      if (at <= index.compactRevision)
        throw new StoreError("compacted", `Cannot compact at ${at}: compacted up to ${index.compactRevision}`);
      if (at > index.committed) throw futureRevision(at, index.committed);
      withdraw = index.announceCompaction(at);
      return sideDraft(revision(index.committed), { compactRevision: at }, withdraw);
    };
    const current = await this.#committer.run(plan);
    failpoint("compact.marked");
    index.compact(at);
    withdraw();
    this.#compactor.kick();
    return current;
  }

  #openReadIndex(): ReadIndex | undefined {
    const { shared, guests } = this.#driver;
    const others = shared ?? guests;
    if (others === undefined) return undefined;
    return new ReadIndex({
      others,
      shown: () => this.#index.committed,
      lacksChanges: () => this.#committer.lacksChanges,
      catchUp: () => this.#committer.settle(),
      onCompacted: (at) => this.#adoptCompaction(at),
    });
  }

  /** What was learnt together with rows the index may know already, and the compactor not. */
  #adoptCompaction(at: number): void {
    this.#index.compact(Math.min(at, this.#index.committed));
    const { toldCompactRevision: told } = this.#index;
    if (told <= this.#adopted) return;
    this.#adopted = told;
    this.#compactor.kick();
  }

  /** Runs `work` again when it misses a lease that another server may have granted. */
  async #withLeases<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      const isUnknown = error instanceof StoreError && error.reason === "leaseNotFound";
      if (!isUnknown || this.#driver.shared === undefined) throw error;
    }
    await this.#asStoreError(this.#leases.learn());
    return work();
  }

  async #asStoreError<T>(answer: Promise<T>): Promise<T> {
    try {
      return await answer;
    } catch (error) {
      throw toStoreError(error);
    }
  }
}
