import { describeError } from "@k3s/errors";
import type { Logger } from "@k3s/log";

/** Tells the log that the database refuses commits: once when that begins, however many follow, and once when it is over. */
export class CommitTrouble {
  readonly #log: Logger;
  #refused = 0;
  /** What a client is refused once it may ask for over and over. */
  #told = "";

  constructor(log: Logger) {
    this.#log = log;
  }

  /** A commit was refused, or its outcome is open. */
  note(error: unknown): void {
    this.#log.log(this.#refused === 0 ? "error" : "debug", { error }, "cannot commit to the datastore");
    this.#refused++;
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

  /** Something was written. */
  end(): void {
    if (this.#refused > 0) this.#log.info({ refused: this.#refused }, "commits to the datastore work again");
    this.#refused = 0;
  }
}
