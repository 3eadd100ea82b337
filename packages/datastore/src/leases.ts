import { sleep } from "@k3s/async";
import { failpoint } from "@k3s/failpoints";
import type { Logger } from "@k3s/log";
import type { Committer } from "./committer.ts";
import { emptyBatch, ENDING_MS, type Driver, type LeaseRecord, type SharedDatabase } from "./driver.ts";
import { sideDraft, type Draft, type Needs, type Pinned } from "./draft.ts";
import { EndClock } from "./end-clock.ts";
import { LeaseBook, startLease, type Lease } from "./lease-book.ts";
import { LeaseClock } from "./lease-clock.ts";
import type { MvccIndex } from "./mvcc-index.ts";
import type { Unleased } from "./row-reader.ts";
import { StoreError } from "./store-errors.ts";
import { leaseNotFound, TxnWrites } from "./txn-writes.ts";
import type { LeaseId, LeaseInfo, LeaseTerm, Revision } from "./types.ts";
import { revision } from "./types.ts";
import type { ValueCache } from "./value-cache.ts";
import { isLive, keyBytes, versionAt, type Version } from "./version.ts";

/** etcd's limit, in seconds. */
const MAX_TTL_SECONDS = 9_000_000_000;
/** etcd raises shorter ones to what its elections need; with its default timing this is 2 s. */
const MIN_TTL_SECONDS = 2;
const RETRY_MS = 1000;
/** Leases that end side by side, where one commit takes several. */
const ENDS_AT_ONCE = 64;
/** Keys of leases that are looked at for each version read: at less than two they might leave faster than they are found. */
const LOOKS_PER_VERSION = 2;
/** The same for a commit, which has a few hundred rows at most unless it is a bulk deletion: about a millisecond. */
const LOOKS_PER_COMMIT = 1000;
/** The lease of a row of kine's is its id with this in front: every server names the same one without asking another. */
const ROW_LEASE = 0x6bn << 56n;

interface LeasesParts {
  /** Where it is shared, other servers grant, renew and end leases too. */
  readonly driver: Pick<Driver, "shared" | "traits">;
  readonly index: MvccIndex;
  readonly values: ValueCache;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** Grants, renews and ends leases; a lease that ends takes its keys with it, in one revision. */
export class Leases {
  readonly book: LeaseBook;
  readonly #parts: LeasesParts;
  readonly #clock: LeaseClock;
  readonly #ends: EndClock;
  #committer: Committer | undefined;
  readonly #expected = new Map<LeaseId, Version>();
  /** The last attempt to end expired leases failed, and that was said. */
  #isLate = false;

  constructor(parts: LeasesParts) {
    this.#parts = parts;
    const { shared } = parts.driver;
    this.#ends = new EndClock(shared && (() => shared.clockMs()));
    this.book = new LeaseBook(this.#ends, parts.index, (deadlineMs) => this.#clock.notice(deadlineMs));
    this.#clock = new LeaseClock({
      nextDeadlineMs: () => this.book.nextDeadlineMs(),
      onDue: () => this.#expire(),
      signal: parts.signal,
    });
  }

  /** Ends leases from now on. Resolves when the store's signal aborts. */
  async run(committer: Committer): Promise<void> {
    this.#committer = committer;
    await this.#clock.run();
  }

  /** Looks at the clock by which stored leases end: before the first {@link sync}, and before a grant or a renewal. */
  readClock(): Promise<void> {
    return this.#ends.refresh();
  }

  /** Makes the leases equal to what is on disk. Only while nothing is pending. */
  sync(records: readonly LeaseRecord[]): void {
    this.book.sync(records);
  }

  /** The same, with what a shared database has stored now. */
  async syncWith(shared: SharedDatabase): Promise<void> {
    const [records] = await Promise.all([shared.leases(), this.#ends.refresh()]);
    this.sync(records);
  }

  /** Tells the leases of keys that were read from disk. */
  attach(versions: readonly Version[]): void {
    for (const version of versions) this.book.attach(version);
    this.book.tidy(LOOKS_PER_VERSION * versions.length);
  }

  /** Drops some of the keys that have left their lease. After each commit: only what is durable can be dropped. */
  tidy(): void {
    this.book.tidy(LOOKS_PER_COMMIT);
  }

  /** Asks a shared database for leases that other servers granted, renewed or ended. */
  async learn(): Promise<void> {
    const { shared } = this.#parts.driver;
    if (shared === undefined) return;
    const known = this.book.all();
    // What is in the book is stored after that, unless somebody ended it; and ends that rows tell are read.
    await this.#committer?.run(() => sideDraft(undefined, {}));
    const [records] = await Promise.all([shared.leases(), this.#ends.refresh()]);
    this.book.update(known, records);
  }

  /** Plans a new lease; id 0 lets us choose. */
  grant(asked: LeaseId, ttlSeconds: number): Draft<LeaseTerm> {
    if (ttlSeconds > MAX_TTL_SECONDS)
      throw new StoreError(
        "leaseTtlTooLarge",
        `Cannot grant lease of ${ttlSeconds} s: the limit is ${MAX_TTL_SECONDS}`,
      );
    if (this.book.get(asked) !== undefined)
      throw new StoreError("leaseExists", `Cannot grant lease ${asked.toString(16)}: it exists already`);
    const id = asked === 0n ? this.book.unusedId() : asked;
    const { lease, record } = startLease(this.#ends, { id, ttlSeconds: Math.max(ttlSeconds, MIN_TTL_SECONDS) });
    this.book.set(lease);
    return sideDraft(termOf(lease), { leases: [record] }, () => this.book.delete(id));
  }

  /** Plans a full new term. Throws when there is no such lease, or when its end has begun. */
  renew(id: LeaseId): Draft<LeaseTerm> {
    const old = this.#get(id);
    if (old.expiresAtMs === ENDING_MS) throw leaseNotFound(id);
    const { lease, record } = startLease(this.#ends, { id, ttlSeconds: old.ttlSeconds });
    const renewed = { ...lease, keys: old.keys };
    this.book.set(renewed);
    const changes = { leases: [record], requiredLeases: [id] };
    return sideDraft(termOf(renewed), changes, () => this.book.set(old));
  }

  /** Plans the end of a lease and of its keys. Throws when there is no such lease. */
  revoke(id: LeaseId, pinned: Pinned): Draft<Revision> | Needs {
    return this.#planEnd(this.#get(id), pinned);
  }

  /** The same for a lease that was due, unless it has been renewed or has ended since. */
  #planExpiry(id: LeaseId, pinned: Pinned): Draft<unknown> | Needs {
    const lease = this.book.get(id);
    if (lease === undefined || lease.deadlineMs > performance.now()) return sideDraft(undefined, {});
    const draft = this.#planEnd(lease, pinned);
    if ("needs" in draft) return draft;
    const { expiresAtMs } = lease;
    return { ...draft, batch: { ...draft.batch, dueLeases: [{ id, expiresAtMs }] } };
  }

  #planEnd(lease: Lease, pinned: Pinned): Draft<Revision> | Needs {
    const { index } = this.#parts;
    const { id } = lease;
    const attached = this.#attached(lease, Number.POSITIVE_INFINITY);
    const values = new Map<number, Buffer>();
    const needs: Version[] = [];
    for (const version of attached) {
      const value = pinned.get(version.row) ?? this.#parts.values.peek(version);
      if (value === undefined) needs.push(version);
      else values.set(version.row, value);
    }
    if (needs.length > 0) return { needs };
    const writes = new TxnWrites(index, this.book);
    const first = index.lastRow + 1;
    for (const version of attached) writes.delete(version);
    writes.seal();
    this.book.delete(id);
    const last = index.lastRow;
    const spans = last > first ? [{ first, last }] : [];
    return {
      result: revision(last),
      batch: { ...emptyBatch, rows: writes.rows, spans, endedLeases: [id], requiredLeases: [id] },
      events: writes.events(values),
      undo: () => this.book.set(lease),
    };
  }

  /** What is known of a lease; -1 s remaining when there is none. */
  describe(id: LeaseId): LeaseInfo {
    const lease = this.book.get(id);
    if (lease === undefined) return { id, grantedTtlSeconds: 0, remainingTtlSeconds: -1, keys: [] };
    const attached = this.#attached(lease, this.#parts.index.committed);
    return { ...termOf(lease), keys: attached.map(({ key }) => keyBytes(key)) };
  }

  /** Keys that wait for {@link adopt}: should another server's lease for one end before, it ends the key too. */
  expect(unleased: readonly Unleased[]): void {
    for (const { version } of unleased) this.#expected.set(ROW_LEASE + BigInt(version.row), version);
  }

  /** They wait no more. */
  expectNoMore(unleased: readonly Unleased[]): void {
    for (const { version } of unleased) this.#expected.delete(ROW_LEASE + BigInt(version.row));
  }

  /**
   * Plans leases for keys that kine wrote with nothing but a TTL: they live that long from now, as in kine. Another server may do the same at
   * the same time.
   */
  adopt(unleased: readonly Unleased[]): Draft<undefined> {
    const leases: LeaseRecord[] = [];
    const rowLeases: [row: number, lease: LeaseId][] = [];
    for (const { version, ttlSeconds } of unleased) {
      const id = ROW_LEASE + BigInt(version.row);
      if (this.book.get(id) === undefined) {
        const { lease, record } = startLease(this.#ends, { id, ttlSeconds });
        leases.push(record);
        this.book.set(lease);
      }
      version.lease = id;
      this.book.attach(version);
      rowLeases.push([version.row, id]);
    }
    const undo = () => {
      for (const { id } of leases) this.book.delete(id);
      for (const { version } of unleased) version.lease = 0n;
    };
    return { ...sideDraft(undefined, { leases, rowLeases }, undo), isUnconditional: true };
  }

  #get(id: LeaseId): Lease {
    const lease = this.book.get(id);
    if (lease === undefined) throw leaseNotFound(id);
    return lease;
  }

  #attached(lease: Lease, at: number): Version[] {
    const found: Version[] = [];
    const expected = this.#expected.get(lease.id);
    const keys = expected === undefined ? lease.keys : new Set([...lease.keys, expected.key]);
    for (const key of [...keys].sort()) {
      const version = versionAt(this.#parts.index.newest(key), at);
      if (isLive(version) && (version.lease === lease.id || version === expected)) found.push(version);
    }
    return found;
  }

  async #expire(): Promise<void> {
    try {
      await this.learn(); // a lease that was renewed elsewhere is not due
      const due = this.book.due(performance.now());
      const atOnce = this.#parts.driver.traits.atomic === "batch" ? ENDS_AT_ONCE : 1;
      const failures: unknown[] = [];
      for (let i = 0; i < due.length; i += atOnce) {
        const ends = await Promise.allSettled(due.slice(i, i + atOnce).map(({ id }) => this.#end(id)));
        for (const end of ends) if (end.status === "rejected") failures.push(end.reason);
      }
      if (failures.length > 0) throw failures[0]; // after the others: one that cannot end keeps none of them alive
      this.#isLate = false;
    } catch (error) {
      if (this.#parts.signal.aborted) return;
      this.#parts.log.log(this.#isLate ? "debug" : "warn", { error }, "cannot end expired leases, trying again");
      this.#isLate = true;
      await sleep(RETRY_MS, this.#parts.signal).catch(() => undefined);
    }
  }

  async #end(id: LeaseId): Promise<void> {
    failpoint("lease.expire");
    await this.#committer?.run((pinned) => this.#planExpiry(id, pinned));
  }
}

/** What there is to tell without a look at its keys. */
function termOf({ id, ttlSeconds, deadlineMs }: Lease): LeaseTerm {
  const remainingTtlSeconds = Math.max(0, Math.ceil((deadlineMs - performance.now()) / 1000));
  return { id, grantedTtlSeconds: ttlSeconds, remainingTtlSeconds };
}

/** Whether a lease is that of a row of kine's. */
export function isRowLease(id: LeaseId): boolean {
  return id >> 56n === ROW_LEASE >> 56n;
}
