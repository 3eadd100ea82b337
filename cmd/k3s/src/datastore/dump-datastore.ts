import { COMPACT_KEY, keyOfName, unpackCompactValue } from "@k3s/datastore";
import type { ToolParts } from "./datastore-status.ts";
import { inspectRows, type NewestRow } from "./inspect-rows.ts";
import { readAllKeys } from "./read-all-keys.ts";
import type { LiveServer, Target } from "./tool-target.ts";
import { withRows, type RowSource } from "./with-rows.ts";

/** A key as it is now. */
export interface DumpedKey {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly createRevision: number;
  readonly modRevision: number;
  /** 0n: none. */
  readonly lease: bigint;
}

export interface DumpOptions extends ToolParts {
  readonly prefix: string;
  /** Given the keys page by page; the next page waits for it. */
  readonly page: (keys: readonly DumpedKey[]) => Promise<void>;
}

const PAGE_ROWS = 500;

/**
 * Gives every key that starts with the prefix, in key order. A server that runs is asked, at one revision; without one the database is
 * read, which then shows what was there when the reading began. Rejects with NodeError or EtcdCallError.
 */
export async function dumpDatastore({ database, server }: Target, options: DumpOptions): Promise<void> {
  const { log, signal } = options;
  if (server !== undefined) await dumpServer(server, options);
  else if (database === undefined) throw new Error("Cannot dump a datastore: there is neither a database nor a server");
  else await withRows({ database, log, signal }, (source) => dumpRows(source, options));
}

async function dumpServer({ client }: LiveServer, { prefix, page, signal }: DumpOptions): Promise<void> {
  for await (const { kvs } of readAllKeys(client, { prefix, keysOnly: false, signal })) await page(kvs);
}

async function dumpRows(source: RowSource, { prefix, page, signal }: DumpOptions): Promise<void> {
  const { newest } = await inspectRows(source, signal);
  const { spans, rowLeases } = await source.side();
  const revisions = new Map<number, number>();
  for (const { first, last } of spans) for (let row = first; row <= last; row++) revisions.set(row, last);
  const start = Buffer.from(prefix).toString("latin1");
  const live = Array.from(newest, ([name, row]) => ({ key: keyOfName(name), row }))
    .filter(({ key, row }) => !row.isDeleted && key.startsWith(start))
    .sort((a, b) => (a.key < b.key ? -1 : 1)); // a sign for a byte: this is the order of bytes
  for (let i = 0; i < live.length; i += PAGE_ROWS) {
    signal.throwIfAborted();
    const rows = live.slice(i, i + PAGE_ROWS);
    const values = await source.values(rows.map(({ row }) => row.id));
    const keys = rows.flatMap(({ key, row }, index) => {
      const stored = values[index];
      const lease = rowLeases.get(row.id) ?? 0n;
      return stored === undefined ? [] : [toKey({ key, stored, row, lease }, revisions)];
    });
    await page(keys);
  }
}

interface StoredKey {
  /** A sign for a byte. */
  readonly key: string;
  readonly stored: Buffer;
  readonly row: NewestRow;
  readonly lease: bigint;
}

function toKey({ key, stored, row, lease }: StoredKey, revisions: ReadonlyMap<number, number>): DumpedKey {
  return {
    key: Buffer.from(key, "latin1"),
    value: key === COMPACT_KEY ? unpackCompactValue(stored).value : stored,
    createRevision: revisions.get(row.createdAt) ?? row.createdAt,
    modRevision: revisions.get(row.id) ?? row.id,
    lease,
  };
}
