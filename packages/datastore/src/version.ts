import type { KeyValue, LeaseId } from "./types.ts";
import { revision } from "./types.ts";

/** A key as a string of one char per byte (latin1): compared with `<` it has byte order. */
export type Key = string;

/** One version of one key in memory. Newer versions point to older ones down to the last one not compacted away. */
export interface Version {
  readonly key: Key;
  /** Id of the row that holds it. */
  readonly row: number;
  /** Revision; differs from `row` only in transactions of several writes. */
  mod: number;
  /** Revision of the creation; 0 in tombstones. */
  create: number;
  /** 1 for a creation, 0 in tombstones. */
  version: number;
  lease: LeaseId;
  readonly deleted: boolean;
  previous: Version | undefined;
  /** Held here only until the row is durable; later the value cache has it. */
  value: Buffer | undefined;
}

/** Whether the key exists with this version as its newest. */
export function isLive(version: Version | undefined): version is Version {
  return version !== undefined && !version.deleted;
}

/** The newest version at or below `at`, tombstones included. */
export function versionAt(newest: Version | undefined, at: number): Version | undefined {
  let version = newest;
  while (version !== undefined && version.mod > at) version = version.previous;
  return version;
}

/** A key's bytes as the index holds them. */
export function toKey(bytes: Buffer): Key {
  return bytes.toString("latin1");
}

/** The bytes of a key. */
export function keyBytes(key: Key): Buffer {
  return Buffer.from(key, "latin1");
}

/** A version as the API shows it. */
export function toKeyValue(version: Version, value: Buffer): KeyValue {
  return {
    key: keyBytes(version.key),
    createRevision: revision(version.create),
    modRevision: revision(version.mod),
    version: version.version,
    lease: version.lease,
    value,
  };
}
