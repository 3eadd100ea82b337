import { COMPACT_KEY, keyOfName, unpackCompactValue, type LeaseId } from "@k3s/datastore";
import { DatastoreToolError } from "../errors.ts";
import type { ToolParts } from "./datastore-status.ts";
import { inspectRows, type NewestRow } from "./inspect-rows.ts";
import { nextPageKeys } from "./next-page-keys.ts";
import { rowRevisions } from "./row-revisions.ts";
import type { RowSource } from "./with-rows.ts";

/** A key as it is now. */
export interface DumpedKey {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly createRevision: number;
  readonly modRevision: number;
  /** 0n: none. */
  readonly lease: bigint;
}

export type DumpedRows = Pick<RowSource, "heads" | "side" | "values" | "atOneMoment">;

export interface DumpOptions extends ToolParts {
  readonly prefix: string;
  /** Given the keys page by page; the next page waits for it. */
  readonly page: (keys: readonly DumpedKey[]) => Promise<void>;
}

const FIRST_PAGE_KEYS = 20;
/** A page in which every value is as large as etcd allows, after one of small values, takes some 100 MB. */
const PAGE_KEYS_MAX = 64;
/** How often rows of one page are looked for anew that were replaced before their values were read. */
const LOOKS_MAX = 10;

/**
 * Gives every key that was there when the reading began, in key order. Where the source is not of one moment a row that has gone since is
 * looked for anew: the key is as it is then, and left out if it is deleted. Rejects with DatastoreToolError when a value cannot be had.
 */
export async function dumpRows(
  source: DumpedRows,
  { prefix, page, signal }: Pick<DumpOptions, "prefix" | "page" | "signal">,
): Promise<void> {
  const rows = new NewestRows(source, signal);
  const names = await rows.names(Buffer.from(prefix).toString("latin1"));
  let limit = FIRST_PAGE_KEYS;
  for (let i = 0; i < names.length;) {
    signal.throwIfAborted();
    const keys = await rows.read(names.slice(i, i + limit));
    await page(keys);
    i += limit;
    limit = nextPageKeys(keys, PAGE_KEYS_MAX);
  }
}

interface NamedRow extends NewestRow {
  readonly name: string;
}

/** The newest row of each name, as far as it is known. */
class NewestRows {
  readonly #source: DumpedRows;
  readonly #signal: AbortSignal;
  #newest: ReadonlyMap<string, NewestRow> = new Map();
  #leases: ReadonlyMap<number, LeaseId> = new Map();
  #revisionOf: (row: number) => number = (row) => row;

  constructor(source: DumpedRows, signal: AbortSignal) {
    this.#source = source;
    this.#signal = signal;
  }

  /** Of the keys that are there and begin with `start`, a sign for a byte, in key order. Reads all rows. */
  async names(start: string): Promise<readonly string[]> {
    await this.#look();
    return Array.from(this.#newest, ([name, { isDeleted }]) => ({ name, key: keyOfName(name), isDeleted }))
      .filter(({ key, isDeleted }) => !isDeleted && key.startsWith(start))
      .sort((a, b) => (a.key < b.key ? -1 : 1)) // a sign for a byte: this is the order of bytes
      .map(({ name }) => name);
  }

  /** The keys of these names that are there, in the same order. */
  async read(names: readonly string[]): Promise<readonly DumpedKey[]> {
    const found = new Map<string, DumpedKey>();
    let gone = await this.#readInto(found, names);
    for (let looks = 0; gone.length > 0; looks++) {
      await this.#look();
      for (const { name, id } of gone)
        if (looks === LOOKS_MAX || this.#newest.get(name)?.id === id) throw valueGone(name, id);
      gone = await this.#readInto(
        found,
        gone.map(({ name }) => name),
      );
    }
    return names.flatMap((name) => found.get(name) ?? []);
  }

  async #look(): Promise<void> {
    const { newest, side } = await inspectRows(this.#source, this.#signal);
    this.#newest = newest;
    this.#leases = side.rowLeases;
    this.#revisionOf = rowRevisions(side.spans);
  }

  /** Resolves with the rows that have no value any more. */
  async #readInto(found: Map<string, DumpedKey>, names: readonly string[]): Promise<readonly NamedRow[]> {
    const rows = names.flatMap((name) => {
      const row = this.#newest.get(name);
      return row === undefined || row.isDeleted ? [] : [{ name, ...row }];
    });
    const values = await this.#source.values(rows.map(({ id }) => id));
    return rows.filter((row, index) => {
      const stored = values[index];
      if (stored !== undefined) found.set(row.name, this.#toKey(row, stored));
      return stored === undefined;
    });
  }

  #toKey({ name, id, createdAt }: NamedRow, stored: Buffer): DumpedKey {
    const key = keyOfName(name);
    return {
      key: Buffer.from(key, "latin1"),
      value: key === COMPACT_KEY ? unpackCompactValue(stored).value : stored,
      createRevision: this.#revisionOf(createdAt),
      modRevision: this.#revisionOf(id),
      lease: this.#leases.get(id) ?? 0n,
    };
  }
}

function valueGone(name: string, row: number): DatastoreToolError {
  return DatastoreToolError.valueGone(Buffer.from(keyOfName(name), "latin1").toString(), row);
}
