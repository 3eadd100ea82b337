import type { Logger } from "@k3s/log";
import {
  DriverError,
  sumConnections,
  tableTraits,
  type CommitBatch,
  type ConnectionStats,
  type DatabaseSize,
  type DatabaseSnapshot,
  type Driver,
  type NewRow,
  type Pruning,
  type RowHead,
  type SideState,
} from "@k3s/datastore";
import { Checkpointer } from "./checkpointer.ts";
import type { FileSnapshots } from "./file-snapshots.ts";
import { SqliteReader } from "./sqlite-reader.ts";
import type { SqliteSettings } from "./sqlite-settings.ts";
import type { WorkerChannel } from "./worker-channel.ts";
import type { PackedBatch, PackedRow } from "./worker-protocol.ts";

interface SqliteDriverParts {
  readonly writer: WorkerChannel;
  readonly reader: WorkerChannel;
  readonly snapshots: FileSnapshots;
  readonly log: Logger;
  readonly checkpoints: NonNullable<SqliteSettings["checkpoints"]>;
  /** Gives the lock on the file back, last of all. */
  readonly release: () => Promise<void>;
}

/** Kine's table in a SQLite file: one worker writes, another reads, so that a slow disk holds up no read. */
export class SqliteDriver implements Driver {
  readonly traits = tableTraits;
  readonly #parts: SqliteDriverParts;
  /** Undefined where others make the checkpoints. */
  readonly #checkpointer: Checkpointer | undefined;
  readonly #reading: SqliteReader;
  #closing: Promise<void> | undefined;

  constructor(parts: SqliteDriverParts) {
    this.#parts = parts;
    this.#reading = new SqliteReader(parts.reader);
    const run = (options: { readonly truncate: boolean }) => parts.reader.call("checkpoint", options);
    const finish = () => parts.writer.call("checkpoint", { truncate: false });
    const isOurs = parts.checkpoints === "own";
    this.#checkpointer = isOurs ? new Checkpointer({ run, finish, log: parts.log }) : undefined;
  }

  heads(after: number, limit: number): Promise<readonly RowHead[]> {
    return this.#reading.heads(after, limit);
  }

  side(): Promise<SideState> {
    return this.#reading.side();
  }

  values(rows: readonly number[]): Promise<readonly (Buffer | undefined)[]> {
    return this.#reading.values(rows);
  }

  async commit(batch: CommitBatch): Promise<void> {
    const packed = pack(batch);
    const valueBytes = packed.values.byteLength;
    await this.#parts.writer.call("commit", packed, [packed.values]);
    this.#checkpointer?.note(walBytes(batch.rows.length, valueBytes));
  }

  async prune(pruning: Pruning): Promise<void> {
    await this.#parts.writer.call("prune", pruning);
    this.#checkpointer?.note(walBytes(pruning.rows.length, 0));
  }

  size(): Promise<DatabaseSize> {
    return this.#reading.size();
  }

  connections(): ConnectionStats {
    const { writer, reader } = this.#parts;
    return sumConnections([writer.use.stats(), reader.use.stats()]);
  }

  async snapshot(): Promise<DatabaseSnapshot> {
    try {
      return await this.#parts.snapshots.take();
    } catch (error) {
      throw error instanceof DriverError
        ? error
        : new DriverError("failed", "Cannot copy SQLite's file", { cause: error });
    }
  }

  async defragment(): Promise<void> {
    while (await this.#parts.writer.call("vacuum", undefined));
    if (this.#checkpointer !== undefined) await this.#parts.reader.call("checkpoint", { truncate: true });
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const { reader, writer, snapshots, release, log } = this.#parts;
    await this.#checkpointer?.stop();
    await snapshots.idle();
    await reader.close();
    // The last connection writes the log back and removes it.
    await writer.close();
    await release();
    log.debug({}, "closed the datastore file");
  }
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
