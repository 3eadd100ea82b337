import type { Logger } from "@k3s/log";
import { isDamage, SqliteError } from "./errors.ts";

interface LateCheckParts {
  readonly path: string;
  readonly log: Logger;
  /** SQLite's quick check on a connection of its own, closed when it resolves. */
  readonly quickCheck: () => Promise<readonly string[]>;
}

/** Checks a file that is too large for the start to wait for, while it is served. What it finds is told in the log. */
export class LateCheck {
  readonly #parts: LateCheckParts;
  readonly #done: Promise<void>;

  constructor(parts: LateCheckParts) {
    this.#parts = parts;
    this.#done = this.#run();
  }

  /** Resolves when it is over: SQLite cannot be asked to leave off. */
  idle(): Promise<void> {
    return this.#done;
  }

  async #run(): Promise<void> {
    const { path, log, quickCheck } = this.#parts;
    try {
      const [finding] = await quickCheck();
      if (finding === undefined) log.info({ file: path }, "checked the datastore: it is sound");
      else this.#tell(new Error(finding));
    } catch (error) {
      if (isDamage(error)) this.#tell(error);
      else log.warn({ file: path, error, cure: "k3s datastore check" }, "cannot check the datastore");
    }
  }

  #tell(cause: unknown): void {
    const { path, log } = this.#parts;
    log.error({ file: path, error: cause, cure: SqliteError.corrupt(path, cause).hint }, "the datastore is damaged");
  }
}
