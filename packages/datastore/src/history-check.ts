import { DriverError, type Driver } from "./driver.ts";
import type { MvccIndex } from "./mvcc-index.ts";
import { keyOfName } from "./names.ts";

/** A database that goes back takes longer: somebody fails over, or restores a backup. */
const COMPARE_EVERY_MS = 1000;

/** The database does not hold any more what it said was committed. Nothing planned on it may go there. */
export class LostHistoryError extends DriverError {
  /** What an operator can do about it. */
  readonly cure =
    "let the endpoint lead to the database that has these changes; or, where they are lost for good, stop k3s on all servers, then start it again: " +
    "it goes on with what the database holds";

  constructor(what: string) {
    const why = "it was restored, or failed over to a replica that had not got everything";
    super("failed", `Cannot use the database: it has lost changes that were acknowledged: ${what} (${why})`);
  }
}

/**
 * Looks whether a shared database still holds what the index shows. Commits on top of changes that only this server knows would mix two
 * histories: values of one key become those before a change of another, and watches miss what is written with numbers told before.
 */
export class HistoryCheck {
  readonly #driver: Pick<Driver, "heads" | "traits">;
  readonly #index: MvccIndex;
  #comparedAt = performance.now();

  constructor(driver: Pick<Driver, "heads" | "traits">, index: MvccIndex) {
    this.#driver = driver;
    this.#index = index;
  }

  /**
   * Throws LostHistoryError for a database that ends with the row `lastRow`, before the index, or, looked at from time to time, in whose
   * table the last row of the index is another one. Only while nothing is pending.
   */
  async assertWhole(lastRow: number): Promise<void> {
    const { lastRow: known } = this.#index;
    if (lastRow < known) throw new LostHistoryError(`its last row is ${lastRow}, and ${known} was there`);
    const isDue = performance.now() - this.#comparedAt >= COMPARE_EVERY_MS;
    // Elsewhere than in a table one row costs as much as many, and numbers of lost ones are rarely given again.
    if (!isDue || known === 0 || this.#driver.traits.atomic !== "batch") return;
    await this.#compareEnd(known);
    this.#comparedAt = performance.now();
  }

  async #compareEnd(row: number): Promise<void> {
    const version = this.#index.log.at(this.#index.log.end - 1);
    const [head] = await this.#driver.heads(row - 1, 1);
    // A row that is gone was compacted, and one that is no key's has nothing to compare.
    if (version?.row !== row || head?.id !== row) return;
    const isSame = keyOfName(head.name) === version.key && head.deleted === version.deleted;
    if (!isSame) throw new LostHistoryError(`row ${row} is another one than before`);
  }
}
