import type { RowHead } from "./driver.ts";
import type { MvccIndex } from "./mvcc-index.ts";
import { isGapName, keyOfName, MARKER_NAME } from "./names.ts";
import type { LeaseId } from "./types.ts";
import { isLive, StoredVersion, type Version } from "./version.ts";

/** A live key whose row carries a TTL but no lease of ours: kine wrote it. */
export interface Unleased {
  readonly version: Version;
  readonly ttlSeconds: number;
}

/** What is kept of a row beside the table. */
interface Beside {
  leaseOf(row: number): LeaseId;
  /** The last row of the span that the row belongs to; the row itself when it belongs to none. */
  revisionOf(row: number): number;
}

/** Puts rows of kine's table, written by us or by any kine, on top of the index. */
export class RowReader {
  readonly #index: MvccIndex;
  readonly #versions: Version[] = [];
  readonly #ttls: Unleased[] = [];
  readonly #markers: RowHead[] = [];
  #impossible = 0;

  constructor(index: MvccIndex) {
    this.#index = index;
  }

  /** What was read, in revision order, without rows that are nobody's key. */
  get versions(): readonly Version[] {
    return this.#versions;
  }

  /** Rows of kine's compaction marker. */
  get markers(): readonly RowHead[] {
    return this.#markers;
  }

  /** How many rows create a key that existed already. */
  get impossible(): number {
    return this.#impossible;
  }

  /** Keys that are still as they were read. */
  unleased(): readonly Unleased[] {
    return this.#ttls.filter(({ version }) => this.#index.newest(version.key) === version);
  }

  /** Rows in id order. Undefined for a row that is nobody's key. */
  add(head: RowHead, beside: Beside): Version | undefined {
    if (head.name === MARKER_NAME) {
      this.#markers.push(head);
      this.#index.skipRow(head.id, false);
      return undefined;
    }
    if (head.deleted && isGapName(head.name)) {
      this.#index.skipRow(head.id, true);
      return undefined;
    }
    const version = this.#toVersion(head, beside);
    this.#index.append(version);
    this.#versions.push(version);
    if (head.ttlSeconds > 0 && isLive(version) && version.lease === 0n)
      this.#ttls.push({ version, ttlSeconds: head.ttlSeconds });
    return version;
  }

  #toVersion(head: RowHead, beside: Beside): Version {
    const key = keyOfName(head.name);
    const previous = this.#index.newest(key);
    const mod = beside.revisionOf(head.id);
    const base = { key, row: head.id, mod, previous, value: undefined };
    if (head.deleted) return new StoredVersion({ ...base, create: 0, version: 0, lease: 0n });
    const lease = beside.leaseOf(head.id);
    if (head.created) {
      if (isLive(previous)) this.#impossible++;
      return new StoredVersion({ ...base, create: mod, version: 1, lease });
    }
    const before = isLive(previous) ? previous : undefined;
    const create = head.createRevision > 0 ? beside.revisionOf(head.createRevision) : (before?.create ?? mod);
    // Versions are not on disk: after a compaction an update is known to be at least the second.
    return new StoredVersion({ ...base, create, version: (before?.version ?? 1) + 1, lease });
  }
}
