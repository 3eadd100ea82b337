import type { LeaseId, RowSpan } from "@k3s/datastore";
import { formatLease, parseLease } from "./lease-hex.ts";
import type { SideNote } from "./row-record.ts";

/** Present in every message of ours: what of a row is not in kine's value, and what a load would else have to unpack. */
export const ROW_HEADER = "K3s-Row";
/** Leases that begin and end together with the row. */
export const NOTE_HEADER = "K3s-Side";

/**
 * `created`, `updated`, `deleted`; a key put back to what it was as a change (`b`), as none (`k`: the row `prevRevision` still counts), or to
 * not being there (`x`); no row at all.
 */
export type RowKind = "c" | "u" | "d" | "b" | "k" | "x" | "n";

/** What {@link ROW_HEADER} holds, in this order, separated by blanks. */
export interface RowHeader {
  readonly kind: RowKind;
  readonly createRevision: number;
  readonly prevRevision: number;
  readonly ttlSeconds: number;
  readonly lease: LeaseId;
  readonly span: RowSpan | undefined;
  readonly writer: string;
}

const ROW = /^([cudbkxn]) (\d{1,16}) (\d{1,16}) (\d{1,16}) ([0-9a-f]{1,16}) (?:(\d{1,16})-(\d{1,16})|-) (\w{1,32})$/;

/** The text of {@link ROW_HEADER}. */
export function formatRowHeader(row: RowHeader): string {
  const span = row.span === undefined ? "-" : `${row.span.first}-${row.span.last}`;
  const numbers = `${row.createRevision} ${row.prevRevision} ${row.ttlSeconds}`;
  return `${row.kind} ${numbers} ${formatLease(row.lease)} ${span} ${row.writer}`;
}

/** undefined: not written by us. */
export function parseRowHeader(text: string): RowHeader | undefined {
  const match = ROW.exec(text);
  if (match === null) return undefined;
  const [, kind = "n", create, prev, ttl, lease = "0", first, last, writer = ""] = match;
  return {
    kind: kind as RowKind, // sound: the pattern takes no other letters
    createRevision: Number(create),
    prevRevision: Number(prev),
    ttlSeconds: Number(ttl),
    lease: parseLease(lease),
    span: first === undefined ? undefined : { first: Number(first), last: Number(last) },
    writer,
  };
}

/** The text of {@link NOTE_HEADER}: `id:ttl:end` in the order granted, then `-id` for what ended. */
export function formatNote({ leases, endedLeases }: SideNote): string {
  const granted = leases.map(({ id, ttlSeconds, expiresAtMs }) => `${formatLease(id)}:${ttlSeconds}:${expiresAtMs}`);
  return [...granted, ...endedLeases.map((id) => `-${formatLease(id)}`)].join(" ");
}

const GRANTED = /^([0-9a-f]{1,16}):(\d{1,16}):(\d{1,16})$/;
const ENDED = /^-([0-9a-f]{1,16})$/;

/** undefined: nothing is noted. Words that are neither are left out. */
export function parseNote(text: string): SideNote | undefined {
  if (text === "") return undefined;
  const words = text.split(" ");
  return {
    leases: words.flatMap((word) => {
      const [, id, ttl, end] = GRANTED.exec(word) ?? [];
      return id === undefined ? [] : [{ id: parseLease(id), ttlSeconds: Number(ttl), expiresAtMs: Number(end) }];
    }),
    endedLeases: words.flatMap((word) => {
      const [, id] = ENDED.exec(word) ?? [];
      return id === undefined ? [] : [parseLease(id)];
    }),
  };
}
