import type { LeaseId, RowHead, RowSpan } from "@k3s/datastore";
import { gapHead, type RowRecord, type SideNote } from "./row-record.ts";

type Row = Extract<RowRecord, { kind: "row" }>;

/** A row of which is certain what it is. */
export interface SettledRow {
  readonly head: RowHead;
  readonly lease: LeaseId;
  readonly span: RowSpan | undefined;
  readonly note: SideNote | undefined;
  /** The name whose messages up to this one are of no use once this row is compacted; empty: none. */
  readonly removes: string;
  readonly isKines: boolean;
}

/** A row of a transaction whose other rows were never written: no row for us, but kine sees it. */
export interface VoidRow {
  readonly id: number;
  readonly name: string;
}

/**
 * Makes rows of messages, which come in the order of their sequences. A transaction of several rows counts only if all its rows
 * follow each other; where another message stands in its place, or nothing follows for ever, the rows it has are gaps:
 *
 *   10 a (10-12)   11 b (10-12)   12 c (10-12)     three rows of revision 12
 *   10 a (10-12)   11 z                            gap, row 11
 *
 * A sequence that is missing was removed and changes nothing: rows of a transaction are published so that none can follow a foreign one.
 */
export class RowAssembler {
  /** Kine's tombstones that its own delete marker will follow, by name. */
  readonly #awaitingMarker = new Map<string, number>();
  readonly #voids = new Map<string, number>();
  #open: Row[] = [];

  /** Rows of a transaction that is not complete yet. */
  get open(): readonly Row[] {
    return this.#open;
  }

  /** Void rows that no later row of their key has replaced, oldest first. */
  get voids(): readonly VoidRow[] {
    return [...this.#voids].map(([name, id]) => ({ id, name })).sort((a, b) => a.id - b.id);
  }

  /** What becomes certain with this message, in order. */
  add(record: RowRecord): readonly SettledRow[] {
    const id = record.kind === "row" ? record.head.id : record.id;
    const before = this.#close(id, record);
    if (record.kind !== "row") return [...before, this.#toGapOrDeletion(record)];
    this.#voids.delete(record.head.name);
    if (record.span === undefined || record.span.first === record.span.last) return [...before, this.#toRow(record)];
    this.#open.push(record);
    return record.span.last === id ? [...before, ...this.#complete()] : before;
  }

  /**
   * What becomes certain when all messages up to `id` have come that are left, and `id` is not among them. An open transaction stays open
   * before its end: its other rows may follow.
   */
  missing(id: number): readonly SettledRow[] {
    const span = this.#open[0]?.span;
    if (span !== undefined && id < span.last) return [];
    return [...this.#complete(), toGap(id)];
  }

  /** Gives up on an open transaction: its rows are void. */
  giveUp(): readonly SettledRow[] {
    const rows = this.#open;
    this.#open = [];
    for (const { head } of rows) this.#voids.set(head.name, head.id);
    return rows.map(({ head }) => toGap(head.id));
  }

  /** After void rows were put back. */
  forgetVoids(): void {
    this.#voids.clear();
  }

  /** Forgets an open transaction, to read its rows again. */
  rewind(): void {
    this.#open = [];
  }

  /** Ends an open transaction that the message does not belong to. */
  #close(id: number, record: RowRecord): readonly SettledRow[] {
    const span = this.#open[0]?.span;
    if (span === undefined) return [];
    if (record.kind === "row" && record.span?.first === span.first && record.span.last === span.last) return [];
    // Behind its end the last row was there once: it has been removed since.
    return id > span.last ? this.#complete() : this.giveUp();
  }

  #complete(): readonly SettledRow[] {
    const rows = this.#open;
    this.#open = [];
    return rows.map((row) => this.#toRow(row));
  }

  #toRow(row: Row): SettledRow {
    const { head, lease, span, note } = row;
    if (row.writer === "" && head.deleted) this.#awaitingMarker.set(head.name, head.id);
    else this.#awaitingMarker.delete(head.name);
    if (row.isTakeBack) return toGap(head.id);
    return { head, lease, span, note, removes: head.deleted ? head.name : "", isKines: row.writer === "" };
  }

  #toGapOrDeletion(record: Exclude<RowRecord, Row>): SettledRow {
    const { id, name } = record;
    if (record.kind === "gap") return { ...toGap(id), note: record.note, removes: name };
    this.#voids.delete(name);
    const isExpected = this.#awaitingMarker.delete(name);
    return { ...toGap(id), head: isExpected ? gapHead(id) : { ...gapHead(id), name }, removes: name, isKines: true };
  }
}

function toGap(id: number): SettledRow {
  return { head: gapHead(id), lease: 0n, span: undefined, note: undefined, removes: "", isKines: false };
}
