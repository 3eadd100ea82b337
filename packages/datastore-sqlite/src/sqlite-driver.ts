import type { Logger } from "@k3s/log";
import {
  DriverError,
  hasPuts,
  sumConnections,
  tableTraits,
  type CommitBatch,
  type ConnectionStats,
  type DatabaseSize,
  type DatabaseSnapshot,
  type Driver,
  type DriverTraits,
  type Pruning,
  type RowHead,
  type SideState,
} from "@k3s/datastore";
import { Checkpointer } from "./checkpointer.ts";
import { FileGuests } from "./file-guests.ts";
import type { FileSnapshots } from "./file-snapshots.ts";
import type { LateCheck } from "./late-check.ts";
import type { NearReader } from "./near-reader.ts";
import type { OtherUsers } from "./other-users.ts";
import { packBatch } from "./pack-batch.ts";
import type { SpaceReserve } from "./space-reserve.ts";
import { SqliteReader } from "./sqlite-reader.ts";
import type { SqliteSettings } from "./sqlite-settings.ts";
import type { WorkerChannel } from "./worker-channel.ts";

/** Free pages of the file below this are left to deletes on a full disk. */
const FREE_PAGES_BYTES = 8 * 1024 * 1024;
const PAGE_BYTES = 4096;
/** About what a new row adds to the log, besides its value and the one before it: rows follow each other. */
const ROW_BYTES = 512;

interface SqliteDriverParts {
  readonly path: string;
  readonly writer: WorkerChannel;
  readonly reader: WorkerChannel;
  readonly near: NearReader;
  readonly snapshots: FileSnapshots;
  readonly lateCheck: LateCheck | undefined;
  readonly log: Logger;
  readonly checkpoints: NonNullable<SqliteSettings["checkpoints"]>;
  readonly reserve: SpaceReserve;
  /** Reads alone, and is closed last: such a connection leaves the log as it is. Undefined where the log is ours to write back. */
  readonly keeper: WorkerChannel | undefined;
  readonly others: OtherUsers;
  /** Gives the lock on the file back, last of all. */
  readonly release: () => Promise<void>;
}

/** Kine's table in a SQLite file: one worker writes, another reads what is not in memory, so that a slow disk holds up nobody. */
export class SqliteDriver implements Driver {
  readonly traits: DriverTraits = { ...tableTraits, guardsNames: false, takesDeletions: true };
  /** Absent where others make the checkpoints: they have the file open all the time, and write no rows. */
  readonly guests?: FileGuests;
  readonly #parts: SqliteDriverParts;
  /** Undefined where others make the checkpoints. */
  readonly #checkpointer: Checkpointer | undefined;
  readonly #reading: SqliteReader;
  #closing: Promise<void> | undefined;

  constructor(parts: SqliteDriverParts) {
    this.#parts = parts;
    this.#reading = new SqliteReader(parts.reader, parts.path);
    const run = (options: { readonly truncate: boolean }) => parts.reader.call("checkpoint", options);
    const finish = () => parts.writer.call("checkpoint", { truncate: false });
    const isOurs = parts.checkpoints === "own";
    const { path, others, reserve, log } = parts;
    const room = { isShort: () => reserve.isShort(), makeRoom: () => reserve.release() };
    if (isOurs) this.guests = new FileGuests({ reading: this.#reading, others, path, log });
    this.#checkpointer = isOurs ? new Checkpointer({ run, finish, ...room, log }) : undefined;
  }

  heads(after: number, limit: number): Promise<readonly RowHead[]> {
    return this.#reading.heads(after, limit);
  }

  side(): Promise<SideState> {
    return this.#reading.side();
  }

  async values(rows: readonly number[]): Promise<readonly (Buffer | undefined)[]> {
    const found = this.#parts.near.values(rows);
    return found.length === rows.length ? found : [...found, ...(await this.#reading.values(rows.slice(found.length)))];
  }

  async commit(batch: CommitBatch): Promise<void> {
    const { reserve } = this.#parts;
    if (!hasPuts(batch)) return this.#makingRoom(() => this.#commit(batch));
    await this.#checkpointer?.ready();
    if (reserve.isReleased && !(await reserve.build()) && !(await this.#hasRoomInside())) throw noRoom();
    try {
      await this.#commit(batch);
    } catch (error) {
      if (isNoSpace(error)) await this.#releaseReserve();
      throw error;
    }
  }

  async readyToPrune(): Promise<void> {
    await this.#checkpointer?.calm();
  }

  async prune(pruning: Pruning): Promise<void> {
    await this.#makingRoom(() => this.#parts.writer.call("prune", pruning));
    this.#checkpointer?.note(pagesBytes(pruning.rows.length));
    const isLastOfPass = pruning.rows.length === 0;
    if (isLastOfPass && this.#parts.reserve.isReleased)
      await this.#tryToShrink(() => this.#shrink({ mayRewrite: false }));
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

  defragment(): Promise<void> {
    return this.#shrink({ mayRewrite: true });
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #commit(batch: CommitBatch): Promise<void> {
    const parcel = await packBatch(batch);
    const valueBytes = parcel.batch.values.byteLength;
    const send = () => this.#parts.writer.call("commit", parcel.batch, parcel.transfer);
    await (this.guests?.ownCommit(batch, send) ?? send());
    const ends = batch.deletions?.rows.length ?? 0;
    this.#checkpointer?.note(pagesBytes(ends) + batch.rows.length * ROW_BYTES + 2 * valueBytes);
  }

  /** Carries out what adds no data: on a full disk once more, in the space that was held free for it, or that the log sets free. */
  async #makingRoom(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!isNoSpace(error)) throw error;
      if (!(await this.#releaseReserve())) await this.#tryToShrink(() => this.#truncateLog());
      await work();
    }
  }

  /** Pages of the file that compactions freed: not every file of kine can give them back. The log still needs the disk. */
  async #hasRoomInside(): Promise<boolean> {
    const { totalBytes, inUseBytes } = await this.size();
    return totalBytes - inUseBytes >= FREE_PAGES_BYTES && (await this.#parts.reserve.isFree());
  }

  async #releaseReserve(): Promise<boolean> {
    const isReleased = await this.#parts.reserve.release();
    if (isReleased) await this.#tryToShrink(() => this.#truncateLog());
    return isReleased;
  }

  async #shrink(options: { readonly mayRewrite: boolean }): Promise<void> {
    await this.#makingRoom(async () => {
      while (await this.#parts.writer.call("vacuum", options));
    });
    await this.#truncateLog();
    await this.#parts.reserve.build();
  }

  async #tryToShrink(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#parts.log.warn({ error }, "cannot give space of the datastore back to the full disk");
    }
  }

  /** Where checkpoints are ours: else the log is left alone. */
  async #truncateLog(): Promise<void> {
    if (this.#checkpointer !== undefined) await this.#parts.reader.call("checkpoint", { truncate: true });
  }

  /** From the first read on a connection is one that others are not the last beside. */
  async #keepLog(): Promise<void> {
    try {
      await this.#parts.keeper?.call("size", undefined);
    } catch (error) {
      this.#parts.log.warn({ error }, "cannot keep the log of the datastore, it is written back");
    }
  }

  async #close(): Promise<void> {
    const { reader, near, writer, keeper, snapshots, lateCheck, release, reserve, log } = this.#parts;
    await this.guests?.stop();
    await this.#checkpointer?.stop();
    await lateCheck?.idle();
    await snapshots.idle();
    await reserve.idle();
    await this.#keepLog();
    near.closeConnection();
    await reader.close();
    // The last connection writes the log back and removes it.
    await writer.close();
    await keeper?.close();
    near.closeFile();
    await release();
    log.debug({}, "closed the datastore file");
  }
}

function isNoSpace(error: unknown): boolean {
  return error instanceof DriverError && error.kind === "noSpace";
}

function noRoom(): DriverError {
  return new DriverError("noSpace", "Cannot commit: the disk is full, only deletes and compactions are taken");
}

/** About what so many rows in as many places add to the log, with the pages that every commit changes. */
function pagesBytes(rows: number): number {
  return PAGE_BYTES * (4 + rows);
}
