import { emptyBatch, type CommitBatch } from "./driver.ts";
import type { WatchEvent } from "./types.ts";
import { revision } from "./types.ts";
import { NO_VALUE } from "./value-cache.ts";
import { isLive, keyBytes, toKeyValue, type Key, type Version } from "./version.ts";

/** An event with its key as the watch routes want it. */
export interface KeyedEvent {
  readonly key: Key;
  readonly event: WatchEvent;
}

/** A change that is in the index and not yet on disk. */
export interface Draft<T> {
  /** What the caller is told once the change is durable. */
  readonly result: T;
  readonly batch: CommitBatch;
  readonly events: readonly KeyedEvent[];
  /** Whether it is right whatever others have written since it was planned, as long as it has no rows. Default: no. */
  readonly isUnconditional?: boolean;
  /** Whether the result shows the past, which a compaction before the commit would have refused. Default: no. */
  readonly showsPast?: boolean;
  /** Takes back what was changed outside of the index. */
  readonly undo: () => void;
}

/** The plan needs these values; nothing was changed, plan again once they are there. */
export interface Needs {
  readonly needs: readonly Version[];
}

/** Values that were fetched for one plan, by row id. */
export type Pinned = ReadonlyMap<number, Buffer>;

/** Synchronous: compares, changes the index, and says what to write. Throws StoreError with nothing changed. */
export type Plan<T> = (pinned: Pinned) => Draft<T> | Needs;

/** A draft that changes nothing but `changes`. */
export function sideDraft<T>(result: T, changes: Partial<CommitBatch>, undo: () => void = () => undefined): Draft<T> {
  return { result, batch: { ...emptyBatch, ...changes }, events: [], undo };
}

/** The event of a version. `values` has its value and the one before it, as far as they exist. */
export function toEvent(version: Version, previous: Version | undefined, values: Pinned): KeyedEvent {
  const before = isLive(previous) ? (previous.value ?? values.get(previous.row)) : undefined;
  const prevKv = isLive(previous) && before !== undefined ? toKeyValue(previous, before) : undefined;
  if (!version.deleted) {
    const kv = toKeyValue(version, version.value ?? values.get(version.row) ?? NO_VALUE);
    return { key: version.key, event: { type: "put", kv, prevKv } };
  }
  const kv = {
    key: keyBytes(version.key),
    createRevision: revision(0),
    modRevision: revision(version.mod),
    version: 0,
    lease: 0n,
    value: NO_VALUE,
  };
  return { key: version.key, event: { type: "delete", kv, prevKv } };
}
