import { open, rm } from "node:fs/promises";
import type { DatabaseSnapshot } from "@k3s/datastore";
import { WorkerChannel } from "./worker-channel.ts";
import type { WorkerSettings } from "./worker-protocol.ts";

const CHUNK_BYTES = 64 * 1024;

/** Copies of a database file while it is in use. */
export class FileSnapshots {
  readonly #settings: WorkerSettings;
  /** Where a copy is made; it has no name any more once it is complete. */
  readonly #path: string;
  #last: Promise<unknown> = Promise.resolve();

  constructor(settings: Omit<WorkerSettings, "isReadOnly">) {
    this.#settings = { ...settings, isReadOnly: true };
    this.#path = `${settings.path}-snapshot`;
  }

  /** A compact copy of all that is committed. Needs as much space beside the file; other work goes on. One at a time is made. */
  take(): Promise<DatabaseSnapshot> {
    const taken = this.#last.then(() => this.#take());
    this.#last = taken.catch(() => undefined);
    return taken;
  }

  /** Resolves once none is being made. */
  async idle(): Promise<void> {
    await this.#last;
  }

  async #take(): Promise<DatabaseSnapshot> {
    await rm(this.#path, { force: true }); // left by a process that was killed
    // For its owner only, as the database is: SQLite takes an empty file as it stands.
    const file = await open(this.#path, "wx+", 0o600);
    const worker = new WorkerChannel(this.#settings);
    try {
      await worker.call("copy", this.#path);
      const { size } = await file.stat();
      const chunks = file.createReadStream({ start: 0, highWaterMark: CHUNK_BYTES, autoClose: false });
      return { sizeBytes: size, chunks, [Symbol.asyncDispose]: () => file.close() };
    } catch (error) {
      await file.close();
      throw error;
    } finally {
      await worker.close();
      await rm(this.#path, { force: true });
    }
  }
}
