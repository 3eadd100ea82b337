import type { Logger } from "@k3s/log";
import type { Driver, RowHead, SideState } from "./driver.ts";
import { isRowLease } from "./leases.ts";
import type { MvccIndex } from "./mvcc-index.ts";
import { COMPACT_KEY, unpackCompactValue } from "./names.ts";
import { RowReader, type Unleased } from "./row-reader.ts";
import { isLive, type Version } from "./version.ts";

const PAGE_ROWS = 4000;
const PROGRESS_ROWS = 500_000;

/** What was read and is not shown yet. */
export interface ReadRows {
  /** In revision order, without rows that are nobody's key. */
  readonly versions: readonly Version[];
  readonly unleased: readonly Unleased[];
  readonly side: SideState;
}

export interface Loaded extends ReadRows {
  /** Rows of kine's compaction marker that a newer marker has replaced. */
  readonly staleMarkers: readonly number[];
  readonly hasMarker: boolean;
}

/** Reads the table from the last row of the index on, page by page and without values. One use. */
export class RowLoader {
  readonly #driver: Driver;
  readonly #index: MvccIndex;
  readonly #log: Logger;
  readonly #reader: RowReader;

  constructor(driver: Driver, index: MvccIndex, log: Logger) {
    this.#driver = driver;
    this.#index = index;
    this.#log = log;
    this.#reader = new RowReader(index);
  }

  /** Reads everything and shows it. */
  async load(): Promise<Loaded> {
    return { ...(await this.read()), ...this.show() };
  }

  /**
   * Reads everything into the index, where nobody sees it before {@link show}. After a rejection it goes on where it was. What other servers write meanwhile is left to be caught up with: leases and spans were read
   * before it, and without them a row would be taken for another one.
   */
  async read(): Promise<ReadRows> {
    const position = await this.#driver.shared?.position();
    const side = await this.#driver.side();
    const revisions = new Map<number, number>();
    for (const { first, last } of side.spans) for (let row = first; row <= last; row++) revisions.set(row, last);
    const stored = new Set(side.leases.map(({ id }) => id));
    const leaseOf = (row: number) => {
      const lease = side.rowLeases.get(row) ?? 0n;
      return isRowLease(lease) && !stored.has(lease) ? 0n : lease; // as if it had none: then it gets it again
    };
    const beside = {
      leaseOf,
      revisionOf: (row: number) => revisions.get(row) ?? row,
    };
    await this.#readAll(beside, position?.lastRow ?? Number.POSITIVE_INFINITY);
    await this.#countCompactVersions();
    this.#tellImpossible();
    return { versions: this.#reader.versions, unleased: this.#reader.unleased(), side };
  }

  /** From now on everything read counts as committed, and as compacted what the table's marker says. */
  show(): Pick<Loaded, "staleMarkers" | "hasMarker"> {
    this.#index.commit(this.#index.lastRow);
    const markers = this.#reader.markers.toSorted((a, b) => b.prevRevision - a.prevRevision);
    const [newest, ...stale] = markers;
    if (newest !== undefined) this.#index.compact(newest.prevRevision);
    return { hasMarker: newest !== undefined, staleMarkers: stale.map(({ id }) => id) };
  }

  /** Whole revisions up to `upTo`. */
  async #readAll(beside: Parameters<RowReader["add"]>[1], upTo: number): Promise<void> {
    let count = 0;
    for await (const heads of this.#pages()) {
      for (const head of heads) {
        if (beside.revisionOf(head.id) > upTo) return;
        this.#reader.add(head, beside);
      }
      count += heads.length;
      if (count > 0 && count % PROGRESS_ROWS === 0) this.#log.info({ rows: count }, "loading the datastore");
    }
  }

  #tellImpossible(): void {
    const { impossible } = this.#reader;
    if (impossible > 0)
      this.#log.warn(
        { rows: impossible, cure: "k3s datastore check" },
        "rows create keys that existed already: some are missing, or were changed by hand",
      );
  }

  /** The database reads the next page while one is put into the index. */
  async *#pages(): AsyncGenerator<readonly RowHead[], void> {
    let next: Promise<readonly RowHead[]> | undefined = this.#driver.heads(this.#index.lastRow, PAGE_ROWS);
    while (next !== undefined) {
      const heads: readonly RowHead[] = await next;
      const last = heads.at(-1);
      next = last === undefined || heads.length < PAGE_ROWS ? undefined : this.#driver.heads(last.id, PAGE_ROWS);
      next?.catch(() => undefined); // told when it is its turn, or never needed
      yield heads;
    }
  }

  /** The compaction key is the one whose version must be exact: it is part of its value. */
  async #countCompactVersions(): Promise<void> {
    let version = this.#index.newest(COMPACT_KEY);
    if (!isLive(version)) return;
    const [stored] = await this.#driver.values([version.row]);
    let count = stored === undefined ? 1 : unpackCompactValue(stored).version;
    for (; isLive(version); version = version.previous) version.version = Math.max(1, count--);
  }
}
