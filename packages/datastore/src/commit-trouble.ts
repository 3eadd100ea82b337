import { describeError } from "@k3s/errors";
import type { Logger } from "@k3s/log";
import { isNoSpace } from "./to-store-error.ts";

/** What an operator can do about a full disk. */
const ROOM_CURE =
  "remove other files from the database's disk, or delete keys and compact; it goes on by itself once there is room";
/** How often an operator is told that another program writes too. */
const FOREIGN_EVERY_MS = 60_000;

/** Tells the log that the database refuses commits: once when that begins, however many follow, and once when it is over. */
export class CommitTrouble {
  readonly #log: Logger;
  readonly #now: () => number;
  #failedCommits = 0;
  #foreignToldAt = -Infinity;
  /** What a client is refused once it may ask for over and over. */
  #told = "";

  /** `now`: in ms. Default: the monotonic clock. */
  constructor(log: Logger, now = () => performance.now()) {
    this.#log = log;
    this.#now = now;
  }

  /** A commit was refused, or its outcome is open. */
  note(error: unknown): void {
    const fields = isNoSpace(error) ? { error, cure: ROOM_CURE } : { error };
    this.#log.log(this.#failedCommits === 0 ? "error" : "debug", fields, "cannot commit to the datastore");
    this.#failedCommits++;
  }

  /** One change was refused for good. Others go on. */
  noteRefusal(error: unknown): void {
    const told = describeError(error);
    this.#log.log(
      told === this.#told ? "debug" : "error",
      { error },
      "refused a change that the datastore cannot hold",
    );
    this.#told = told;
  }

  /** A commit met the rows of a program that should not write: where the database is ours alone, each of its writes may do that. */
  noteForeignWrite(error: unknown): void {
    const isDue = this.#now() - this.#foreignToldAt >= FOREIGN_EVERY_MS;
    if (isDue) this.#foreignToldAt = this.#now();
    this.#log.log(isDue ? "warn" : "debug", { error }, "another program wrote to the datastore, reading its changes");
  }

  /** All that is asked for can be written. */
  end(): void {
    if (this.#failedCommits > 0)
      this.#log.info({ failedCommits: this.#failedCommits }, "commits to the datastore work again");
    this.#failedCommits = 0;
  }
}
