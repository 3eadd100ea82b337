import type { DatabaseReader, DatabaseSize, Position, RowHead, SideState } from "@k3s/datastore";
import { SqliteError, toReadError } from "./errors.ts";
import { unpackHeads } from "./packed-heads.ts";
import type { WorkerChannel } from "./worker-channel.ts";
import type { Requests } from "./worker-protocol.ts";

/** What can be read of a file, over one worker. All rejections are DriverError. */
export class SqliteReader implements DatabaseReader {
  readonly #worker: WorkerChannel;
  readonly #path: string;

  /** `path`: the file, for what is told of its damage. */
  constructor(worker: WorkerChannel, path: string) {
    this.#worker = worker;
    this.#path = path;
  }

  /** What to do about damage in the file. */
  get cure(): string {
    return SqliteError.corrupt(this.#path, undefined).hint ?? "";
  }

  /** As `DatabaseReader.atOneMoment`. A checkpoint of others waits for it, and their writes for that: it should not take long. */
  async atOneMoment<T>(read: () => Promise<T>): Promise<T> {
    await this.#read("hold", undefined);
    try {
      return await read();
    } finally {
      await this.#worker.call("release", undefined).catch(() => undefined); // it is over with the worker as well
    }
  }

  /** As `Driver.heads`. */
  async heads(after: number, limit: number): Promise<readonly RowHead[]> {
    return unpackHeads(await this.#read("heads", { after, limit }));
  }

  /** As `Driver.side`; nothing where only kine has used the file. */
  async side(): Promise<SideState> {
    const { leases, rowLeases, spans } = await this.#read("side", undefined);
    return { leases, rowLeases: new Map(rowLeases), spans };
  }

  /** As `Driver.values`. */
  async values(rows: readonly number[]): Promise<readonly (Buffer | undefined)[]> {
    if (rows.length === 0) return [];
    const { lengths, bytes } = await this.#read("values", rows);
    let offset = 0;
    return lengths.map((length) => {
      if (length < 0) return undefined;
      offset += length;
      return Buffer.from(bytes, offset - length, length);
    });
  }

  /** As `ForeignRows.position`. */
  position(): Promise<Position> {
    return this.#read("position", undefined);
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
    return this.#read("findings", undefined);
  }

  close(): Promise<void> {
    return this.#worker.close();
  }

  async #read<Name extends "hold" | "heads" | "side" | "values" | "position" | "findings">(
    operation: Name,
    argument: Requests[Name]["argument"],
  ): Promise<Requests[Name]["answer"]> {
    try {
      return await this.#worker.call(operation, argument);
    } catch (error) {
      throw toReadError(this.#path, error);
    }
  }
}
