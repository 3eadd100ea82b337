import { isGapName, MARKER_NAME, type DatabaseReader, type Driver, type RowHead, type SideState } from "@k3s/datastore";
import { FINDING_CURES } from "./finding-cures.ts";
import { lowerBound, rowRevisions } from "./row-revisions.ts";

/** The newest row of a name. */
export interface NewestRow {
  readonly id: number;
  readonly isDeleted: boolean;
  /** Row that created the key as it is now. */
  readonly createdAt: number;
}

/** What a table holds, found by reading it once without its values. */
export interface RowsReport {
  readonly rows: number;
  readonly liveKeys: number;
  /** Rows that a newer row of the same key has replaced. */
  readonly replaced: number;
  /** Newest rows that say that the key is deleted. */
  readonly tombstones: number;
  /** Rows by which kine filled holes. */
  readonly gaps: number;
  /** 0 when there are no rows. */
  readonly firstRow: number;
  readonly lastRow: number;
  readonly compactRevision: number;
  /** Rows that compaction has still to remove. */
  readonly superfluous: number;
  /** What contradicts itself, at most {@link FINDINGS_MAX} sentences. */
  readonly findings: readonly string[];
  /** What to do about them. */
  readonly cures: readonly string[];
  readonly newest: ReadonlyMap<string, NewestRow>;
  /** Whether the table has a row of this id. */
  readonly hasRow: (id: number) => boolean;
  /** What is kept beside the rows. */
  readonly side: SideState;
}

export type InspectedRows = Pick<Driver, "heads" | "side"> & Pick<DatabaseReader, "atOneMoment">;

const FINDINGS_MAX = 100;
const PAGE_ROWS = 4000;

/** Reads every row and checks that each follows the one that it says it follows. */
export async function inspectRows(reader: InspectedRows, signal: AbortSignal): Promise<RowsReport> {
  const inspect = () => inspectNow(reader, signal);
  return await (reader.atOneMoment === undefined ? inspect() : reader.atOneMoment(inspect));
}

async function inspectNow(reader: InspectedRows, signal: AbortSignal): Promise<RowsReport> {
  const inspection = new RowInspection();
  for (let after = 0; ;) {
    signal.throwIfAborted();
    const heads = await reader.heads(after, PAGE_ROWS);
    for (const head of heads) inspection.add(head);
    after = heads.at(-1)?.id ?? after;
    if (heads.length < PAGE_ROWS) return inspection.report(await reader.side());
  }
}

class RowInspection {
  readonly #newest = new Map<string, NewestRow>();
  readonly #findings: string[] = [];
  readonly #cures = new Set<string>();
  /** Predecessors that were not seen: right if they were compacted. */
  readonly #missing: { readonly head: RowHead; readonly previous: number }[] = [];
  /** The row that made another one superfluous, for each of those. */
  readonly #replacedBy: number[] = [];
  readonly #deletions = new Set<number>();
  /** Of every row, ascending. */
  readonly #ids: number[] = [];
  #gaps = 0;
  #markers = 0;
  #compactRevision = 0;

  add(head: RowHead): void {
    this.#ids.push(head.id);
    if (head.name === MARKER_NAME) this.#addMarker(head);
    else if (isGapName(head.name)) this.#gaps++;
    else this.#addKey(head);
  }

  report(side: SideState): RowsReport {
    const revisionOf = rowRevisions(side.spans);
    const newest = [...this.#newest.values()];
    const tombstones = newest.filter(({ isDeleted }) => isDeleted);
    const isCompacted = (row: number) => revisionOf(row) <= this.#compactRevision;
    // A deletion in the compacted revision itself is kept, with what it replaced.
    const isKept = (row: number) => revisionOf(row) === this.#compactRevision && this.#deletions.has(row);
    const isDue = (row: number) => isCompacted(row) && !isKept(row);
    for (const { head, previous } of this.#missing)
      // A creation follows a deletion, which goes as soon as it is compacted itself.
      this.#checkMissing(head, previous, isCompacted(head.created ? previous : head.id));
    if (this.#ids.length > 0 && this.#markers !== 1)
      this.#find(
        `there are ${this.#markers} compaction markers instead of one; the next start mends that`,
        FINDING_CURES.marker,
      );
    return {
      rows: this.#ids.length,
      liveKeys: newest.length - tombstones.length,
      replaced: this.#replacedBy.length,
      tombstones: tombstones.length,
      gaps: this.#gaps,
      firstRow: this.#ids[0] ?? 0,
      lastRow: this.#ids.at(-1) ?? 0,
      compactRevision: this.#compactRevision,
      superfluous: this.#replacedBy.filter(isDue).length + tombstones.filter(({ id }) => isDue(id)).length,
      findings: this.#findings.slice(0, FINDINGS_MAX),
      cures: [...this.#cures],
      newest: this.#newest,
      hasRow: (id) => this.#hasRow(id),
      side,
    };
  }

  #hasRow(id: number): boolean {
    return this.#ids[lowerBound(this.#ids, (each) => each < id)] === id;
  }

  #addMarker({ prevRevision }: RowHead): void {
    this.#markers++;
    this.#compactRevision = Math.max(this.#compactRevision, prevRevision);
  }

  #addKey(head: RowHead): void {
    const { id, name, prevRevision, createRevision } = head;
    const before = this.#newest.get(name);
    if (head.deleted) this.#deletions.add(id);
    this.#newest.set(name, { id, isDeleted: head.deleted, createdAt: creationOf(head, before) });
    if (createRevision > id)
      this.#find(`row ${id} of "${name}" says that row ${createRevision} created it, a later one`);
    const followsLater = prevRevision >= id;
    if (followsLater) this.#find(`row ${id} of "${name}" says that it follows row ${prevRevision}, no earlier one`);
    if (before !== undefined) {
      this.#replacedBy.push(id);
      this.#checkOrder(head, before);
    } else if (prevRevision !== 0 && !followsLater) this.#missing.push({ head, previous: prevRevision });
  }

  #checkOrder({ id, name, prevRevision, created, deleted }: RowHead, before: NewestRow): void {
    if (prevRevision !== before.id && prevRevision < id)
      this.#find(`row ${id} of "${name}" says that it follows row ${prevRevision}, but row ${before.id} is in between`);
    if (created && !before.isDeleted) this.#find(`row ${id} creates "${name}", which exists since row ${before.id}`);
    if (!created && !deleted && before.isDeleted)
      this.#find(`row ${id} changes "${name}", which row ${before.id} deleted`);
  }

  /** For a row before which there is none of its key: a row `previous` is that of another one. */
  #checkMissing({ id, name, created }: RowHead, previous: number, isCompacted: boolean): void {
    const isOther = this.#hasRow(previous);
    if (isOther && !(created && isCompacted))
      this.#find(`row ${id} of "${name}" says that it follows row ${previous}, which is of another key`);
    else if (!isCompacted) this.#find(`row ${id} of "${name}" follows row ${previous}, which is missing`);
  }

  #find(finding: string, cure: string = FINDING_CURES.rows): void {
    this.#cures.add(cure);
    if (this.#findings.length < FINDINGS_MAX) this.#findings.push(finding);
  }
}

/** Row in which the key began to exist, for all that the rows still say. */
function creationOf(head: RowHead, before: NewestRow | undefined): number {
  if (head.created) return head.id;
  if (head.createRevision !== 0) return head.createRevision;
  return before === undefined || before.isDeleted ? head.id : before.createdAt;
}
