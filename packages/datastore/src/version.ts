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

/** A version in the least memory that its fields need: there is one for each change since the last compaction. */
export class StoredVersion implements Version {
  readonly key: Key;
  readonly row: number;
  mod: number;
  create: number;
  version: number;
  lease: LeaseId;
  previous: Version | undefined;
  value: Buffer | undefined;

  /** `version` 0: a tombstone. */
  constructor(fields: Omit<Version, "deleted">) {
    this.key = fields.key;
    this.row = fields.row;
    this.mod = fields.mod;
    this.create = fields.create;
    this.version = fields.version;
    this.lease = fields.lease;
    this.previous = fields.previous;
    this.value = fields.value;
  }

  get deleted(): boolean {
    return this.version === 0;
  }
}

/** The tombstone of one key out of many that were deleted together: what they have in common is there once. */
export class SharedTombstone implements Version {
  readonly key: Key;
  readonly row: number;
  previous: Version | undefined;
  readonly #deletion: { readonly mod: number };

  constructor(previous: Version, row: number, deletion: { readonly mod: number }) {
    this.key = previous.key;
    this.row = row;
    this.previous = previous;
    this.#deletion = deletion;
  }

  get mod(): number {
    return this.#deletion.mod;
  }

  get create(): number {
    return 0;
  }

  get version(): number {
    return 0;
  }

  get lease(): LeaseId {
    return 0n;
  }

  get deleted(): boolean {
    return true;
  }

  get value(): undefined {
    return undefined;
  }
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
