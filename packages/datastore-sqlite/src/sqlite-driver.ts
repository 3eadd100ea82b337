import type { Logger } from "@k3s/log";
import type { CommitBatch, DatabaseSize, Driver, NewRow, Pruning, RowHead, SideState } from "@k3s/datastore";
import { Checkpointer } from "./checkpointer.ts";
import type { WorkerChannel } from "./worker-channel.ts";
import type { PackedBatch, PackedRow, RawHead } from "./worker-protocol.ts";

interface SqliteDriverParts {
  readonly writer: WorkerChannel;
  readonly reader: WorkerChannel;
  readonly log: Logger;
  /** Gives the lock on the file back, last of all. */
  readonly release: () => Promise<void>;
}

/** Kine's table in a SQLite file: one worker writes, another reads, so that a slow disk holds up no read. */
export class SqliteDriver implements Driver {
  readonly #parts: SqliteDriverParts;
  readonly #checkpointer: Checkpointer;
  #closing: Promise<void> | undefined;

  constructor(parts: SqliteDriverParts) {
    this.#parts = parts;
    const run = (options: { readonly truncate: boolean }) => parts.reader.call("checkpoint", options);
    const finish = () => parts.writer.call("checkpoint", { truncate: false });
    this.#checkpointer = new Checkpointer({ run, finish, log: parts.log });
  }

  async heads(after: number, limit: number): Promise<readonly RowHead[]> {
    return (await this.#parts.reader.call("heads", { after, limit })).map(toHead);
  }

  async side(): Promise<SideState> {
    const { leases, rowLeases, spans } = await this.#parts.reader.call("side", undefined);
    return { leases, rowLeases: new Map(rowLeases), spans };
  }

  async values(rows: readonly number[]): Promise<readonly (Buffer | undefined)[]> {
    if (rows.length === 0) return [];
    const { lengths, bytes } = await this.#parts.reader.call("values", rows);
    let offset = 0;
    return lengths.map((length) => {
      if (length < 0) return undefined;
      offset += length;
      return Buffer.from(bytes, offset - length, length);
    });
  }

  async commit(batch: CommitBatch): Promise<void> {
    const packed = pack(batch);
    const valueBytes = packed.values.byteLength;
    await this.#parts.writer.call("commit", packed, [packed.values]);
    this.#checkpointer.note(walBytes(batch.rows.length, valueBytes));
  }

  async prune(pruning: Pruning): Promise<void> {
    await this.#parts.writer.call("prune", pruning);
    this.#checkpointer.note(walBytes(pruning.rows.length, 0));
  }

  size(): Promise<DatabaseSize> {
    return this.#parts.reader.call("size", undefined);
  }

  async defragment(): Promise<void> {
    while (await this.#parts.writer.call("vacuum", undefined));
    await this.#parts.reader.call("checkpoint", { truncate: true });
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const { reader, writer, release, log } = this.#parts;
    await this.#checkpointer.stop();
    await reader.close();
    // The last connection writes the log back and removes it.
    await writer.close();
    await release();
    log.debug({}, "closed the datastore file");
  }
}

function toHead([id, name, created, deleted, createRevision, prevRevision, lease]: RawHead): RowHead {
  return {
    id,
    name: String(name ?? ""), // a number where a file of old kine declares the column as INTEGER
    created: (created ?? 0) !== 0,
    deleted: (deleted ?? 0) !== 0,
    createRevision: createRevision ?? 0,
    prevRevision: prevRevision ?? 0,
    ttlSeconds: lease ?? 0,
  };
}

/** All values in one buffer, which moves to the worker without being copied again. */
function pack(batch: CommitBatch): PackedBatch {
  const values = new Uint8Array(batch.rows.reduce((sum, { value }) => sum + (value?.length ?? 0), 0));
  const rowLeases = [...batch.rowLeases];
  let offset = 0;
  const rows = batch.rows.map((row) => {
    if (row.lease !== 0n) rowLeases.push([row.id, row.lease]);
    if (row.value !== undefined) values.set(row.value, offset);
    const packed = packRow(row, offset);
    offset += row.value?.length ?? 0;
    return packed;
  });
  return { ...batch, rows, rowLeases, values: values.buffer };
}

function packRow(row: NewRow, offset: number): PackedRow {
  const { id, name, createRevision, prevRevision, ttlSeconds } = row;
  const flags = [row.created ? 1 : 0, row.deleted ? 1 : 0] as const;
  return [id, name, ...flags, createRevision, prevRevision, ttlSeconds, offset, row.value?.length ?? -1];
}

/** About what a commit adds to the log: pages of the table and of its indexes, the value and the one before it. */
function walBytes(rows: number, valueBytes: number): number {
  const pageBytes = 4096;
  return pageBytes * (4 + 3 * rows) + 2 * valueBytes;
}
