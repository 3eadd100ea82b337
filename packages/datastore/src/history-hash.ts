import { crc32 } from "node:zlib";
import { nextTurn } from "@k3s/async";
import type { MvccIndex } from "./mvcc-index.ts";
import { assertNotCompacted, futureRevision } from "./range-selection.ts";
import { StoreError } from "./store-errors.ts";
import type { StoreHash } from "./types.ts";
import { revision } from "./types.ts";
import type { ValueCache } from "./value-cache.ts";
import { keyBytes, versionAt, type Version } from "./version.ts";

/** Keys looked at without letting other work in. */
const SLICE_KEYS = 500;
const MAX_ATTEMPTS = 5;
/** Lengths of key and value (-1: none), creation, revision. */
const HEAD_BYTES = 24;

interface History {
  readonly at: number;
  readonly compacted: number;
}

/**
 * Hashes what a client could read of the history from the last compaction to a revision: keys, values, and the revisions of creations
 * and changes. Servers with the same content agree, however much a compaction has already removed from the database. Leases and
 * version numbers are left out: a table of kine's does not keep them.
 */
export class HistoryHash {
  readonly #index: MvccIndex;
  readonly #values: ValueCache;

  constructor(index: MvccIndex, values: ValueCache) {
    this.#index = index;
    this.#values = values;
  }

  /** `revision` 0: the current one. */
  async hash(asked: number): Promise<StoreHash> {
    const index = this.#index;
    for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt++) {
      if (asked > index.committed) throw futureRevision(asked, index.committed);
      if (asked > 0) assertNotCompacted(index, asked);
      const history = { at: asked > 0 ? asked : index.committed, compacted: index.compactRevision };
      const current = revision(index.committed);
      const hash = await this.#attempt(history);
      if (hash === undefined) continue; // a compaction overtook it
      const compactRevision = revision(history.compacted);
      return { revision: current, hash, hashRevision: revision(history.at), compactRevision };
    }
    throw new StoreError("unavailable", "Cannot hash the history: it is compacted all the time");
  }

  async #attempt(history: History): Promise<number | undefined> {
    let hash = 0;
    for (let from = "", isDone = false; !isDone;) {
      const slice = this.#index.chains({ from, to: undefined }, SLICE_KEYS);
      const versions = slice.flatMap((newest) => [...retained(newest, history)]);
      const values = await this.#values.load(versions);
      if (this.#index.compactRevision !== history.compacted) return undefined;
      for (const version of versions) {
        const value = version.deleted ? undefined : values.get(version.row);
        if (value === undefined && !version.deleted) return undefined;
        hash = addVersion(hash, version, value);
      }
      isDone = slice.length < SLICE_KEYS;
      from = `${slice.at(-1)?.key ?? ""}\0`;
      await nextTurn();
    }
    return hash;
  }
}

/** Versions of one key that reads from the compaction to `at` can tell apart, newest first. */
function* retained(newest: Version, { at, compacted }: History): Generator<Version> {
  for (let version = versionAt(newest, at); version !== undefined; version = version.previous) {
    if (version.mod > compacted) yield version;
    else {
      if (!version.deleted) yield version;
      return;
    }
  }
}

function addVersion(hash: number, version: Version, value: Buffer | undefined): number {
  const key = keyBytes(version.key);
  const head = Buffer.alloc(HEAD_BYTES);
  head.writeInt32BE(key.length, 0);
  head.writeInt32BE(value?.length ?? -1, 4);
  head.writeBigInt64BE(BigInt(version.create), 8);
  head.writeBigInt64BE(BigInt(version.mod), 16);
  const sum = crc32(key, crc32(head, hash));
  return value === undefined ? sum : crc32(value, sum);
}
