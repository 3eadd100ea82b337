import type { LeaseId, LeaseRecord, RowHead, RowSpan } from "@k3s/datastore";

/** What is kept beside a row, in a header of its message, and becomes true together with it. */
export interface SideNote {
  readonly leases: readonly LeaseRecord[];
  readonly endedLeases: readonly LeaseId[];
}

/** What a message of the bucket is. Ids are sequences of the stream. */
export type RowRecord =
  | {
      readonly kind: "row";
      readonly head: RowHead;
      readonly lease: LeaseId;
      /** undefined: the row stands alone. */
      readonly span: RowSpan | undefined;
      readonly note: SideNote | undefined;
      /** Who wrote it; empty: kine. */
      readonly writer: string;
      /** Puts a key back for kine that a transaction without an end had changed; nothing has changed for us. */
      readonly isTakeBack: boolean;
    }
  /** A delete marker: the second of the two messages by which kine deletes, or a deletion by a NATS tool. */
  | { readonly kind: "marker"; readonly id: number; readonly name: string }
  /** Nobody's key: the end of a lease without keys, or a subject that no key has. */
  | {
      readonly kind: "gap";
      readonly id: number;
      /** The name of its subject, where the message is of no use once it is compacted; else empty. */
      readonly name: string;
      readonly note: SideNote | undefined;
      readonly writer: string;
      /** Why the message cannot be read; undefined: it was not meant for anything else. */
      readonly damage?: unknown;
    };

/** A message of the bucket as the server gives it. */
export interface StoredMessage {
  readonly seq: number;
  readonly subject: string;
  /** The first value of a header; empty: none. */
  readonly header: (name: string) => string;
  /** undefined: only the headers were asked for. */
  readonly data: Uint8Array | undefined;
}

/** A message that is nobody's row. */
export function gapRecord(id: number): Extract<RowRecord, { kind: "gap" }> {
  return { kind: "gap", id, name: "", note: undefined, writer: "" };
}

/** The head under which the store skips an id. */
export function gapHead(id: number): RowHead {
  return {
    id,
    name: `gap-${id}`,
    created: false,
    deleted: true,
    createRevision: 0,
    prevRevision: 0,
    ttlSeconds: 0,
  };
}
