import type { LeaseId, NewRow, RowHead, RowSpan } from "@k3s/datastore";
import { packKineValue, unpackKineValue } from "./kine-value.ts";
import { formatLease } from "./lease-hex.ts";
import { framedBytes } from "./s2-frames.ts";
import {
  formatNote,
  formatRowHeader,
  NOTE_HEADER,
  parseNote,
  parseRowHeader,
  ROW_HEADER,
  type RowHeader,
  type RowKind,
} from "./row-header.ts";
import { gapRecord, type RowRecord, type SideNote, type StoredMessage } from "./row-record.ts";
import type { Subjects } from "./subjects.ts";

/** NATS's own header of delete markers in a key-value bucket. */
const OPERATION_HEADER = "KV-Operation";
/**
 * Makes a NATS client take the key for deleted, and lets kine read the message all the same: it looks for the other header. So one
 * message does what kine needs two for: its watches see the tombstone, and it can create the key again.
 */
const REASON_HEADER = "Nats-Marker-Reason";
/** Under which the end of leases without keys is told; a name for each, so that the history of none is ever full. */
const NOTE_PREFIX = "k3s-lease-end/";

/** Room for the headers of a row without a note. */
export const HEADER_BYTES = 512;
/** What of kine's JSON is neither name nor value. */
const JSON_BYTES = 300;
/** A character of a name in JSON, as an escape. */
const CHAR_BYTES = 6;

/** How large the message of a row is at most. */
export function messageBytes(name: string, valueBytes: number): number {
  const text = JSON_BYTES + name.length * CHAR_BYTES + Math.ceil(valueBytes / 3) * 4;
  return HEADER_BYTES + framedBytes(text);
}

/** A message to publish. */
export interface OutgoingMessage {
  readonly subject: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly data: Buffer;
}

/** What is told with a row beyond the row. */
export interface RowExtras {
  readonly span: RowSpan | undefined;
  readonly note: SideNote | undefined;
}

/** Between rows and messages of the bucket. */
export class RowMessages {
  readonly #subjects: Subjects;
  readonly #writer: string;

  /** `writer` marks our own messages: letters and digits. */
  constructor(subjects: Subjects, writer: string) {
    this.#subjects = subjects;
    this.#writer = writer;
  }

  /** undefined: the name is too long for a subject. */
  ofRow(row: NewRow, { span, note }: RowExtras): OutgoingMessage | undefined {
    const kind = row.deleted ? "d" : row.created ? "c" : "u";
    return this.#pack(row, { kind, lease: row.lease, span, note });
  }

  /** A message that puts `name` back to `before` after row `replaced`; `before` undefined: to having no such key. */
  ofTakeBack(name: string, replaced: number, before: TakenBack | undefined): OutgoingMessage | undefined {
    const base = { name, created: false, prevRevision: replaced };
    const dead = { ...base, deleted: true, createRevision: 0, ttlSeconds: 0, value: undefined };
    const more = { span: undefined, note: undefined };
    if (before === undefined) return this.#pack(dead, { kind: "x", lease: 0n, ...more });
    const { head, lease, value, stays } = before;
    const createRevision = head.created ? head.id : head.createRevision;
    const alive = { ...base, deleted: false, createRevision, ttlSeconds: head.ttlSeconds, value };
    return this.#pack(alive, stays ? { kind: "k", lease, ...more, before: head.id } : { kind: "b", lease, ...more });
  }

  /** Tells of ended leases where no row can. */
  ofNote(note: SideNote): OutgoingMessage {
    const [ended] = note.endedLeases;
    const header: RowHeader = {
      kind: "n",
      createRevision: 0,
      prevRevision: 0,
      ttlSeconds: 0,
      lease: 0n,
      span: undefined,
      writer: this.#writer,
    };
    return {
      subject: this.#subjects.ofName(`${NOTE_PREFIX}${ended === undefined ? "" : formatLease(ended)}`) ?? "",
      headers: [
        [ROW_HEADER, formatRowHeader(header)],
        [NOTE_HEADER, formatNote(note)],
        [OPERATION_HEADER, "DEL"],
      ],
      data: Buffer.alloc(0),
    };
  }

  /** "data": the message is kine's, and its data is needed to tell. */
  read(message: StoredMessage): RowRecord | "data" {
    const { seq: id, header } = message;
    const row = parseRowHeader(header(ROW_HEADER));
    const note = row === undefined ? undefined : parseNote(header(NOTE_HEADER));
    const name = this.#subjects.toName(message.subject);
    if (name === undefined) return gapRecord(id);
    if (row?.kind === "n") return { kind: "gap", id, name, note, writer: row.writer };
    if (row !== undefined) return ours({ id, name, row, note });
    if (header(OPERATION_HEADER) !== "") return { kind: "marker", id, name };
    if (message.data === undefined) return "data";
    return kines(id, name, message.data);
  }

  /** The row that a message puts its key back to; 0: it is no such message. Of each message of a load, so it looks at one letter. */
  standsFor({ header }: StoredMessage): number {
    const text = header(ROW_HEADER);
    return text.startsWith("k") ? (parseRowHeader(text)?.prevRevision ?? 0) : 0;
  }

  #pack(
    row: Omit<NewRow, "id" | "lease">,
    more: RowExtras & { readonly kind: RowKind; readonly lease: LeaseId; readonly before?: number },
  ): OutgoingMessage | undefined {
    const subject = this.#subjects.ofName(row.name);
    if (subject === undefined) return undefined;
    const { createRevision, ttlSeconds } = row;
    const { kind, lease, span, note, before: prevRevision = row.prevRevision } = more;
    const text = formatRowHeader({ kind, createRevision, prevRevision, ttlSeconds, lease, span, writer: this.#writer });
    const headers: (readonly [string, string])[] = [[ROW_HEADER, text]];
    if (note !== undefined) headers.push([NOTE_HEADER, formatNote(note)]);
    if (row.deleted) headers.push([REASON_HEADER, "Remove"]);
    return { subject, headers, data: packKineValue(row.name, row) };
  }
}

/** A row as it was, to be written again. */
export interface TakenBack {
  readonly head: RowHead;
  readonly lease: LeaseId;
  readonly value: Buffer;
  /** Whether it keeps its revision: the bucket will have its message as long as the key is not changed. */
  readonly stays: boolean;
}

interface OurMessage {
  readonly id: number;
  readonly name: string;
  readonly row: RowHeader;
  readonly note: SideNote | undefined;
}

function ours({ id, name, row, note }: OurMessage): RowRecord {
  const { createRevision, prevRevision, ttlSeconds, lease, span, writer } = row;
  const deleted = row.kind === "d" || row.kind === "x";
  const head = { id, name, created: row.kind === "c", deleted, createRevision, prevRevision, ttlSeconds };
  return { kind: "row", head, lease, span, note, writer, isTakeBack: row.kind === "x" || row.kind === "k" };
}

function kines(id: number, name: string, data: Uint8Array): RowRecord {
  try {
    const { value: _value, ...rest } = unpackKineValue(data);
    const head = { id, name, ...rest };
    return { kind: "row", head, lease: 0n, span: undefined, note: undefined, writer: "", isTakeBack: false };
  } catch (damage) {
    return { ...gapRecord(id), damage };
  }
}
