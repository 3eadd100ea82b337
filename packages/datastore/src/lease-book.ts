import { randomBytes } from "node:crypto";
import type { LeaseRecord } from "./driver.ts";
import type { EndClock } from "./end-clock.ts";
import type { LeaseId } from "./types.ts";
import type { Key } from "./version.ts";

/** A lease in memory. Deadlines are monotonic: a step of the wall clock ends no lease. */
export interface Lease {
  readonly id: LeaseId;
  readonly ttlSeconds: number;
  readonly deadlineMs: number;
  /** The end as it is on disk. */
  readonly expiresAtMs: number;
  /** Keys that were ever attached and may still be: the index tells which are. */
  readonly keys: Set<Key>;
}

/** All leases that are granted and have not ended, pending changes included. */
export class LeaseBook {
  readonly #leases = new Map<LeaseId, Lease>();
  readonly #clock: EndClock;
  readonly #onEarlier: (deadlineMs: number) => void;

  /** `onEarlier` is told of every new deadline. */
  constructor(clock: EndClock, onEarlier: (deadlineMs: number) => void) {
    this.#clock = clock;
    this.#onEarlier = onEarlier;
  }

  get(id: LeaseId): Lease | undefined {
    return this.#leases.get(id);
  }

  ids(): LeaseId[] {
    return [...this.#leases.keys()];
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

  /** Takes leases and renewals over that are on disk; forgets nothing. */
  #learn(records: readonly LeaseRecord[]): void {
    for (const record of records) {
      const known = this.#leases.get(record.id);
      if (known?.expiresAtMs === record.expiresAtMs) continue;
      this.set({ ...this.#fromRecord(record), keys: known?.keys ?? new Set() });
    }
  }

  #fromRecord({ id, ttlSeconds, expiresAtMs }: LeaseRecord): Omit<Lease, "keys"> {
    // A clock that was set back must not make a lease longer than it was granted.
    const leftMs = Math.min(this.#clock.msUntil(expiresAtMs), ttlSeconds * 1000);
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
    lease: { id, ttlSeconds, deadlineMs: performance.now() + ttlMs, expiresAtMs, keys: new Set() },
    record: { id, ttlSeconds, expiresAtMs },
  };
}
