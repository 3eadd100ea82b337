import type { Logger } from "@k3s/log";
import type { Driver, RowHead, SideState } from "./driver.ts";
import type { MvccIndex } from "./mvcc-index.ts";
import { COMPACT_KEY, isGapName, keyOfName, MARKER_NAME, unpackCompactValue } from "./names.ts";
import { isLive, type Version } from "./version.ts";

const PAGE_ROWS = 4000;
const PROGRESS_ROWS = 500_000;

/** A live key whose row carries a TTL but no lease of ours: kine wrote it. */
export interface Unleased {
  readonly version: Version;
  readonly ttlSeconds: number;
}

export interface Loaded {
  /** In revision order, without rows that are nobody's key. */
  readonly versions: readonly Version[];
  readonly unleased: readonly Unleased[];
  readonly side: SideState;
  /** Rows of kine's compaction marker that a newer marker has replaced. */
  readonly staleMarkers: readonly number[];
  readonly hasMarker: boolean;
}

/** Reads rows of kine's table, written by us or by any kine, into the index. One use. */
export class RowLoader {
  readonly #driver: Driver;
  readonly #index: MvccIndex;
  readonly #log: Logger;
  readonly #versions: Version[] = [];
  readonly #ttls: Unleased[] = [];
  readonly #markers: RowHead[] = [];
  /** Revision by row, for rows of transactions with several writes. */
  readonly #revisions = new Map<number, number>();

  constructor(driver: Driver, index: MvccIndex, log: Logger) {
    this.#driver = driver;
    this.#index = index;
    this.#log = log;
  }

  /** Loads what came after the last row of the index. Everything loaded counts as committed. */
  async load(): Promise<Loaded> {
    const side = await this.#driver.side();
    for (const { first, last } of side.spans) for (let row = first; row <= last; row++) this.#revisions.set(row, last);
    let count = 0;
    for (;;) {
      const heads = await this.#driver.heads(this.#index.lastRow, PAGE_ROWS);
      for (const head of heads) this.#add(head, side);
      count += heads.length;
      if (count > 0 && count % PROGRESS_ROWS === 0) this.#log.info({ rows: count }, "loading the datastore");
      if (heads.length < PAGE_ROWS) break;
    }
    await this.#countCompactVersions();
    this.#index.commit(this.#index.lastRow);
    return {
      versions: this.#versions,
      unleased: this.#ttls.filter(({ version }) => this.#index.newest(version.key) === version),
      side,
      ...this.#applyMarkers(),
    };
  }

  #add(head: RowHead, side: SideState): void {
    if (head.name === MARKER_NAME) {
      this.#markers.push(head);
      this.#index.skipRow(head.id, false);
    } else if (head.deleted && isGapName(head.name)) this.#index.skipRow(head.id, true);
    else {
      const version = this.#toVersion(head, side);
      this.#index.append(version);
      this.#versions.push(version);
      if (head.ttlSeconds > 0 && isLive(version) && version.lease === 0n)
        this.#ttls.push({ version, ttlSeconds: head.ttlSeconds });
    }
  }

  #toVersion(head: RowHead, side: SideState): Version {
    const key = keyOfName(head.name);
    const previous = this.#index.newest(key);
    const mod = this.#revision(head.id);
    const base = { key, row: head.id, mod, previous, value: undefined };
    if (head.deleted) return { ...base, create: 0, version: 0, lease: 0n, deleted: true };
    const lease = side.rowLeases.get(head.id) ?? 0n;
    if (head.created) return { ...base, create: mod, version: 1, lease, deleted: false };
    const before = isLive(previous) ? previous : undefined;
    const create = head.createRevision > 0 ? this.#revision(head.createRevision) : (before?.create ?? mod);
    // Versions are not on disk: after a compaction an update is known to be at least the second.
    return { ...base, create, version: (before?.version ?? 1) + 1, lease, deleted: false };
  }

  #revision(row: number): number {
    return this.#revisions.get(row) ?? row;
  }

  /** The compaction key is the one whose version must be exact: it is part of its value. */
  async #countCompactVersions(): Promise<void> {
    let version = this.#index.newest(COMPACT_KEY);
    if (!isLive(version)) return;
    const [stored] = await this.#driver.values([version.row]);
    let count = stored === undefined ? 1 : unpackCompactValue(stored).version;
    for (; isLive(version); version = version.previous) version.version = Math.max(1, count--);
  }

  #applyMarkers(): Pick<Loaded, "staleMarkers" | "hasMarker"> {
    const markers = this.#markers.toSorted((a, b) => b.prevRevision - a.prevRevision);
    const [newest, ...stale] = markers;
    if (newest !== undefined) this.#index.compact(newest.prevRevision);
    return { hasMarker: newest !== undefined, staleMarkers: stale.map(({ id }) => id) };
  }
}
