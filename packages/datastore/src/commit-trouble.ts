import type { Logger } from "@k3s/log";

/** Tells the log that the database refuses commits: once when that begins, however many follow, and once when it is over. */
export class CommitTrouble {
  readonly #log: Logger;
  #refused = 0;

  constructor(log: Logger) {
    this.#log = log;
  }

  /** A commit was refused, or its outcome is open. */
  note(error: unknown): void {
    this.#log.log(this.#refused === 0 ? "error" : "debug", { error }, "cannot commit to the datastore");
    this.#refused++;
  }

  /** Something was written. */
  end(): void {
    if (this.#refused > 0) this.#log.info({ refused: this.#refused }, "commits to the datastore work again");
    this.#refused = 0;
  }
}
