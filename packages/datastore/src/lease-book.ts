import { randomBytes } from "node:crypto";
import { ENDING_MS, type LeaseRecord } from "./driver.ts";
import { MAX_AGE_MS, type EndClock } from "./end-clock.ts";
import { LeaseKeys } from "./lease-keys.ts";
import type { MvccIndex } from "./mvcc-index.ts";
import type { LeaseId } from "./types.ts";
import { isLive, type Version } from "./version.ts";

/** A lease in memory. Deadlines are monotonic: a step of the wall clock ends no lease. */
export interface Lease {
  readonly id: LeaseId;
  readonly ttlSeconds: number;
  readonly deadlineMs: number;
  /** The end as it is on disk. */
  readonly expiresAtMs: number;
  /** Also keys that have left: the index tells which are attached. */
  readonly keys: LeaseKeys;
}

/** All leases that are granted and have not ended, pending changes included. */
export class LeaseBook {
  readonly #leases = new Map<LeaseId, Lease>();
  readonly #clock: EndClock;
  readonly #index: MvccIndex;
  readonly #onEarlier: (deadlineMs: number) => void;
  /** Whose keys are to be tidied. */
  readonly #untidy = new Set<LeaseId>();
  #isLoaded = false;

  /** `onEarlier` is told of every new deadline. */
  constructor(clock: EndClock, index: MvccIndex, onEarlier: (deadlineMs: number) => void) {
    this.#clock = clock;
    this.#index = index;
    this.#onEarlier = onEarlier;
  }

  get(id: LeaseId): Lease | undefined {
    return this.#leases.get(id);
  }

  /** In the order in which they end, as etcd lists them. */
  ids(): LeaseId[] {
    return this.all()
      .toSorted((a, b) => a.deadlineMs - b.deadlineMs)
      .map(({ id }) => id);
  }

  all(): readonly Lease[] {
    return [...this.#leases.values()];
  }

  set(lease: Lease): void {
    this.#leases.set(lease.id, lease);
    this.#onEarlier(lease.deadlineMs);
  }

  delete(id: LeaseId): void {
    this.#leases.delete(id);
  }

  /** Tells the leases of a version that is on top of its key, and of the one that it replaced. */
  attach({ key, lease, previous }: Version): void {
    if (lease !== 0n) this.#tell(lease, (keys) => keys.add(key));
    if (isLive(previous) && previous.lease !== 0n && previous.lease !== lease)
      this.#tell(previous.lease, (keys) => keys.noteLeft());
  }

  /** Looks at the next of the keys that may have left their lease, `limit` at most. Any time: what is pending may still be taken back. */
  tidy(limit: number): void {
    let left = limit;
    let leases = this.#untidy.size;
    for (const id of this.#untidy) {
      if (left <= 0 || leases-- === 0) return;
      const keys = this.get(id)?.keys;
      left -= Math.max(1, keys?.tidy(this.#index, left) ?? 0);
      this.#untidy.delete(id);
      if (keys?.isUntidy === true) this.#untidy.add(id); // behind the others
    }
  }

  /** Leases whose time is over. */
  due(nowMs: number): Lease[] {
    return [...this.#leases.values()].filter(({ deadlineMs }) => deadlineMs <= nowMs);
  }

  /** undefined: no lease. */
  nextDeadlineMs(): number | undefined {
    let next: number | undefined;
    for (const { deadlineMs } of this.#leases.values()) if (next === undefined || deadlineMs < next) next = deadlineMs;
    return next;
  }

  /** A positive 63-bit number that no lease has. */
  unusedId(): LeaseId {
    for (;;) {
      const id = randomBytes(8).readBigUInt64BE() >> 1n;
      if (id !== 0n && !this.#leases.has(id)) return id;
    }
  }

  /** Makes the book equal to what is on disk; leases that are in both keep their deadline, unless they were renewed there. */
  sync(records: readonly LeaseRecord[]): void {
    const stored = new Set(records.map(({ id }) => id));
    for (const id of this.#leases.keys()) if (!stored.has(id)) this.#leases.delete(id);
    this.#learn(records);
  }

  /**
   * The same with records that were read while the book may have changed: `known` is what was in it before. What was granted, renewed or ended
   * here since stays as it is.
   */
  update(known: readonly Lease[], records: readonly LeaseRecord[]): void {
    const before = new Map(known.map((lease) => [lease.id, lease]));
    const stored = new Set(records.map(({ id }) => id));
    for (const { id } of known) if (!stored.has(id) && this.get(id) === before.get(id)) this.#leases.delete(id);
    this.#learn(records.filter(({ id }) => this.get(id) === before.get(id)));
  }

  #tell(id: LeaseId, change: (keys: LeaseKeys) => void): void {
    const keys = this.get(id)?.keys;
    if (keys === undefined) return;
    change(keys);
    if (keys.isUntidy) this.#untidy.add(id);
  }

  /** Takes leases and renewals over that are on disk; forgets nothing. */
  #learn(records: readonly LeaseRecord[]): void {
    for (const record of records) {
      const known = this.#leases.get(record.id);
      if (known?.expiresAtMs === record.expiresAtMs) continue;
      this.set({ ...this.#fromRecord(record), keys: known?.keys ?? new LeaseKeys(record.id) });
    }
    this.#isLoaded = true;
  }

  #fromRecord({ id, ttlSeconds, expiresAtMs }: LeaseRecord): Omit<Lease, "keys"> {
    // A clock that was set back must not make a lease longer than it was granted. One that was set forward must not end a lease that another
    // server granted or renewed since, by what it had read of that clock before.
    const leastMs = this.#isLoaded && expiresAtMs !== ENDING_MS ? MAX_AGE_MS : 0;
    const leftMs = Math.min(Math.max(this.#clock.msUntil(expiresAtMs), leastMs), ttlSeconds * 1000);
    return { id, ttlSeconds, expiresAtMs, deadlineMs: performance.now() + leftMs };
  }
}

/** A lease that starts its full time now, and the record that lets it survive a restart. */
export function startLease(
  clock: EndClock,
  { id, ttlSeconds }: Pick<LeaseRecord, "id" | "ttlSeconds">,
): { readonly lease: Lease; readonly record: LeaseRecord } {
  const ttlMs = ttlSeconds * 1000;
  const expiresAtMs = clock.endIn(ttlMs);
  return {
    lease: { id, ttlSeconds, deadlineMs: performance.now() + ttlMs, expiresAtMs, keys: new LeaseKeys(id) },
    record: { id, ttlSeconds, expiresAtMs },
  };
}
