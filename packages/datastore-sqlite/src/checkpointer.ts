import { sleep } from "@k3s/async";
import { DriverError } from "@k3s/datastore";
import type { Logger } from "@k3s/log";
import type { CheckpointResult } from "./worker-protocol.ts";

/** Written back after this much. */
const PASSIVE_BYTES = 4 * 1024 * 1024;
/** A log beyond this is written back to its end, between two commits: only then SQLite uses it anew from its start. */
const FULL_BYTES = 8 * 1024 * 1024;
/** A log file beyond this is cut although somebody may have to wait a moment. */
const MAX_WAL_BYTES = 64 * 1024 * 1024;
const IDLE_MS = 10_000;
/** What may wait in the log on a disk with little room: writing it back takes as much again. */
const SHORT_BYTES = 1024 * 1024;

interface CheckpointerParts {
  /** Writes back beside the commits. */
  readonly run: (options: { readonly truncate: boolean }) => Promise<CheckpointResult>;
  /** Writes the rest back while no commit runs. */
  readonly finish: () => Promise<CheckpointResult>;
  /** Whether the disk has little room. */
  readonly isShort: () => Promise<boolean>;
  /** There was no room to write back in. Answers whether there is some now. */
  readonly makeRoom: () => Promise<boolean>;
  readonly log: Logger;
}

/**
 * Writes SQLite's write-ahead log back from a connection beside the writer: PASSIVE, which nobody waits for, while there
 * are commits, and TRUNCATE once there were none for a while. Commits that never pause would keep the log from ever being
 * written back whole: then the writer does the little that is left between two of them.
 */
export class Checkpointer {
  readonly #parts: CheckpointerParts;
  readonly #stop = new AbortController();
  #pendingBytes = 0;
  /** About what is in the log and nowhere else. */
  #unwrittenBytes = 0;
  #isShort = false;
  #commits = 0;
  #running: Promise<void> | undefined;
  #idle: Promise<void> | undefined;

  constructor(parts: CheckpointerParts) {
    this.#parts = parts;
  }

  /** Tells of a commit and about how much it added to the log. */
  note(bytes: number): void {
    this.#commits++;
    this.#pendingBytes += bytes;
    this.#unwrittenBytes += bytes;
    if (this.#pendingBytes >= PASSIVE_BYTES) this.#start(false);
    this.#idle ??= this.#whenIdle().finally(() => {
      this.#idle = undefined;
    });
  }

  /** Before a commit that adds data: on a disk with little room it waits until the log has been written back. */
  async ready(): Promise<void> {
    if (!this.#isShort || this.#unwrittenBytes < SHORT_BYTES) return;
    this.#start(false);
    await this.#running;
  }

  /**
   * Before a change that can wait: while more is in the log than one write-back takes, it waits for that. Else the log would grow faster than
   * it is written back, and the rest, which the writer does between two commits, would hold them up.
   */
  async calm(): Promise<void> {
    if (this.#unwrittenBytes < PASSIVE_BYTES) return;
    // One that failed is tried again with the next commits, not for each change.
    if (this.#pendingBytes >= PASSIVE_BYTES) this.#start(false);
    await this.#running;
  }

  /** Resolves when none runs and none will. */
  async stop(): Promise<void> {
    this.#stop.abort(new Error("The database is closed"));
    await Promise.all([this.#idle, this.#running]);
  }

  async #whenIdle(): Promise<void> {
    const { signal } = this.#stop;
    for (let seen = -1; seen !== this.#commits && !signal.aborted;) {
      seen = this.#commits;
      await sleep(IDLE_MS, signal).catch(() => undefined);
    }
    if (!signal.aborted) this.#start(true);
    await this.#running;
  }

  #start(truncate: boolean): void {
    this.#running ??= this.#run(truncate).finally(() => {
      this.#running = undefined;
    });
  }

  async #run(truncate: boolean): Promise<void> {
    const { isShort, log } = this.#parts;
    this.#pendingBytes = 0;
    const unwritten = this.#unwrittenBytes;
    try {
      this.#isShort = await isShort();
      await this.#writeBackWithRoom(truncate);
      this.#unwrittenBytes -= unwritten;
    } catch (error) {
      log.warn({ error }, "cannot write back the log of the datastore, the next commits try again");
    }
  }

  async #writeBackWithRoom(truncate: boolean): Promise<void> {
    try {
      await this.#writeBack(truncate);
    } catch (error) {
      const isFull = error instanceof DriverError && error.kind === "noSpace";
      if (!isFull || !(await this.#parts.makeRoom())) throw error;
      await this.#writeBack(true);
    }
  }

  async #writeBack(truncate: boolean): Promise<void> {
    const { run, finish, log } = this.#parts;
    const { walBytes } = await run({ truncate });
    if (walBytes <= FULL_BYTES) return;
    await finish();
    if (walBytes <= MAX_WAL_BYTES) return;
    const after = await run({ truncate: true });
    if (after.busy) log.warn({ walBytes }, "another program keeps the log of the datastore from being written back");
  }
}
