import type { NewRow } from "./driver.ts";
import { toEvent, type KeyedEvent } from "./draft.ts";
import type { LeaseBook } from "./lease-book.ts";
import type { MvccIndex } from "./mvcc-index.ts";
import { COMPACT_KEY, nameOfKey, packCompactValue } from "./names.ts";
import { StoreError } from "./store-errors.ts";
import type { LeaseId } from "./types.ts";
import { isLive, StoredVersion, type Key, type Version } from "./version.ts";

const MAX_TTL_COLUMN = 2 ** 31 - 1; // 32 bits in kine's MySQL and PostgreSQL tables

export interface PutRequest {
  readonly key: Key;
  readonly value: Buffer;
  readonly lease: LeaseId;
}

/** The writes of one transaction as they go into the index: consecutive rows, one revision. */
export class TxnWrites {
  readonly #index: MvccIndex;
  readonly #leases: LeaseBook;
  readonly #written: { readonly version: Version; readonly previous: Version | undefined }[] = [];
  readonly #rows: NewRow[] = [];

  constructor(index: MvccIndex, leases: LeaseBook) {
    this.#index = index;
    this.#leases = leases;
  }

  get rows(): readonly NewRow[] {
    return this.#rows;
  }

  put({ key, value, lease }: PutRequest): void {
    const previous = this.#index.newest(key);
    const row = this.#index.lastRow + 1;
    const before = isLive(previous) ? previous : undefined;
    const version = new StoredVersion({
      key,
      row,
      mod: row,
      create: before?.create ?? row,
      version: (before?.version ?? 0) + 1,
      lease,
      previous,
      value,
    });
    this.#add(version, {
      created: before === undefined,
      ttlSeconds: this.#ttlOf(lease),
      stored: key === COMPACT_KEY ? packCompactValue(version.version, value) : value,
    });
  }

  delete(previous: Version): void {
    const row = this.#index.lastRow + 1;
    const tombstone = { create: 0, version: 0, lease: 0n, value: undefined };
    const version = new StoredVersion({ key: previous.key, row, mod: row, previous, ...tombstone });
    this.#add(version, { created: false, ttlSeconds: 0, stored: undefined });
  }

  /** Gives all writes the id of the last one as their revision. */
  seal(): void {
    const last = this.#index.lastRow;
    for (const { version } of this.#written) {
      if (version.create === version.mod) version.create = last;
      version.mod = last;
    }
  }

  /** After {@link seal}. `values` has the values that were replaced. */
  events(values: ReadonlyMap<number, Buffer>): KeyedEvent[] {
    return this.#written.map(({ version, previous }) => toEvent(version, previous, values));
  }

  #add(version: Version, row: { created: boolean; ttlSeconds: number; stored: Buffer | undefined }): void {
    const { previous } = version;
    this.#index.append(version);
    this.#leases.attach(version);
    this.#written.push({ version, previous });
    this.#rows.push({
      id: version.row,
      name: nameOfKey(version.key),
      created: row.created,
      deleted: version.deleted,
      createRevision: row.created ? 0 : version.create,
      prevRevision: previous?.row ?? 0,
      ttlSeconds: row.ttlSeconds,
      lease: version.lease,
      value: row.stored,
    });
  }

  #ttlOf(id: LeaseId): number {
    if (id === 0n) return 0;
    const lease = this.#leases.get(id);
    if (lease === undefined) throw leaseNotFound(id);
    return Math.min(lease.ttlSeconds, MAX_TTL_COLUMN);
  }
}

/** The error for a lease that was never granted or has ended. */
export function leaseNotFound(id: LeaseId): StoreError {
  return new StoreError("leaseNotFound", `Cannot use lease ${id.toString(16)}: there is no such lease`);
}
