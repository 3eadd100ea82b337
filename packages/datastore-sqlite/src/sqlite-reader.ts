import type { DatabaseReader, DatabaseSize, RowHead, SideState } from "@k3s/datastore";
import type { WorkerChannel } from "./worker-channel.ts";
import type { RawHead } from "./worker-protocol.ts";

/** What can be read of a file, over one worker. All rejections are DriverError. */
export class SqliteReader implements DatabaseReader {
  readonly #worker: WorkerChannel;

  constructor(worker: WorkerChannel) {
    this.#worker = worker;
  }

  /** As `Driver.heads`. */
  async heads(after: number, limit: number): Promise<readonly RowHead[]> {
    return (await this.#worker.call("heads", { after, limit })).map(toHead);
  }

  /** As `Driver.side`; nothing where only kine has used the file. */
  async side(): Promise<SideState> {
    const { leases, rowLeases, spans } = await this.#worker.call("side", undefined);
    return { leases, rowLeases: new Map(rowLeases), spans };
  }

  /** As `Driver.values`. */
  async values(rows: readonly number[]): Promise<readonly (Buffer | undefined)[]> {
    if (rows.length === 0) return [];
    const { lengths, bytes } = await this.#worker.call("values", rows);
    let offset = 0;
    return lengths.map((length) => {
      if (length < 0) return undefined;
      offset += length;
      return Buffer.from(bytes, offset - length, length);
    });
  }

  size(): Promise<DatabaseSize> {
    return this.#worker.call("size", undefined);
  }

  /** What SQLite finds damaged, at most twenty findings. Reads the whole file. */
  integrity(): Promise<readonly string[]> {
    return this.#worker.call("integrity", undefined);
  }

  /** As `DatabaseReader.findings`. */
  findings(): Promise<readonly string[]> {
    return this.#worker.call("findings", undefined);
  }

  close(): Promise<void> {
    return this.#worker.close();
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
