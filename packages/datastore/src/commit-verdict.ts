import type { Logger } from "@k3s/log";
import { hasPuts, isEmpty } from "./batch.ts";
import type { Entry } from "./commit-queue.ts";
import { CommitTrouble } from "./commit-trouble.ts";
import { DriverError, type CommitBatch } from "./driver.ts";
import { isNoSpace, isRefused } from "./to-store-error.ts";

/** Tells what becomes of the changes whose commit has failed, and the log why. */
export class CommitVerdict {
  readonly #log: Logger;
  readonly #isShared: boolean;
  readonly #trouble: CommitTrouble;
  #isFull = false;

  constructor(log: Logger, isShared: boolean) {
    this.#log = log;
    this.#isShared = isShared;
    this.#trouble = new CommitTrouble(log);
  }

  /** Whether the last put was refused because the disk is full. A put must not take a delete down with it then. */
  get isFull(): boolean {
    return this.#isFull;
  }

  /** Told of every commit that was made. */
  made(batch: CommitBatch): void {
    if (hasPuts(batch) && this.#isFull) {
      this.#log.info({}, "the datastore has room for puts again");
      this.#isFull = false;
    }
    if (!isEmpty(batch) && !this.#isFull) this.#trouble.end(); // deletes are taken while puts are still refused
  }

  /** Told of every failed commit. Whether its changes were planned on what is not there any more, and are to be planned anew. */
  isConflict(error: unknown): boolean {
    const isConflict = error instanceof DriverError && error.kind === "conflict";
    if (!isConflict && !isRefused(error) && !(this.#isFull && isNoSpace(error))) this.#trouble.note(error);
    if (isConflict && !this.#isShared) this.#trouble.noteForeignWrite(error);
    return isConflict;
  }

  /** Which are refused with an error that is no conflict: when the disk turns out to be full, what puts nothing gets another chance without the puts. */
  refusable(inFlight: readonly Entry[], error: unknown): readonly Entry[] {
    if (isRefused(error)) return this.#guilty(inFlight, error);
    if (this.#isFull || !isNoSpace(error)) return inFlight;
    this.#isFull = true;
    return inFlight.filter(({ draft }) => hasPuts(draft.batch));
  }

  /** Only what was refused alone is known to be what the database cannot hold. Else all are tried again, in half the company each time. */
  #guilty(inFlight: readonly Entry[], error: unknown): readonly Entry[] {
    if (inFlight.length === 1) {
      this.#trouble.noteRefusal(error);
      return inFlight;
    }
    for (const { company } of inFlight) company.most = inFlight.length >> 1;
    return [];
  }
}
