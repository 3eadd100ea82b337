import { DriverError, type Driver } from "./driver.ts";
import type { MvccIndex } from "./mvcc-index.ts";
import { COMPACT_KEY, keyOfName } from "./names.ts";
import type { ValueCache } from "./value-cache.ts";
import type { Version } from "./version.ts";

/** A database that goes back takes longer: somebody fails over, or restores a backup. */
const COMPARE_EVERY_MS = 1000;

/** The database does not hold any more what it said was committed. Nothing planned on it may go there. */
export class LostHistoryError extends DriverError {
  /** What an operator can do about it. */
  readonly cure =
    "let the endpoint lead to the database that has these changes; or, where they are lost for good, restart k3s on each server that says so: " +
    "it goes on with what the database holds";

  constructor(what: string) {
    const why = "it was restored, or failed over to a replica that had not got everything";
    super("failed", `Cannot use the database: it has lost changes that were acknowledged: ${what} (${why})`);
  }
}

interface HistoryCheckParts {
  readonly driver: Pick<Driver, "heads" | "values" | "traits">;
  readonly index: MvccIndex;
  readonly values: Pick<ValueCache, "peek">;
}

/**
 * Looks whether a shared database still holds what the index shows. Commits on top of changes that only this server knows would mix two
 * histories: values of one key become those before a change of another, and watches miss what is written with numbers told before.
 */
export class HistoryCheck {
  readonly #parts: HistoryCheckParts;
  #comparedAt = performance.now();
  /** It was not whole when it was last looked at: others may have written in the place of what was lost. */
  #isSuspect = false;

  constructor(parts: HistoryCheckParts) {
    this.#parts = parts;
  }

  /**
   * Throws LostHistoryError for a database that ends with the row `lastRow`, before the index, or, looked at from time to time, in whose
   * table the last row of the index is another one; from then on it is looked at each time, until all is there. Only while nothing is pending.
   */
  async assertWhole(lastRow: number): Promise<void> {
    const isDue = this.#isSuspect || performance.now() - this.#comparedAt >= COMPARE_EVERY_MS;
    this.#isSuspect = true; // also where it cannot say
    await this.#assertWhole(lastRow, isDue);
    this.#isSuspect = false;
  }

  async #assertWhole(lastRow: number, isDue: boolean): Promise<void> {
    const { driver, index } = this.#parts;
    const { lastRow: known } = index;
    if (lastRow < known) throw new LostHistoryError(`its last row is ${lastRow}, and ${known} was there`);
    // Elsewhere than in a table one row costs as much as many, and numbers of lost ones are rarely given again.
    if (!isDue || known === 0 || driver.traits.atomic !== "batch") return;
    const version = index.log.at(index.log.end - 1);
    if (version?.row === known && !(await this.#isStored(version)))
      throw new LostHistoryError(`row ${known} is another one than before`);
    this.#comparedAt = performance.now();
  }

  /** Of a row that is gone nothing is known: it was compacted. What a row replaced is not compared, as some kines write it otherwise than we read it. */
  async #isStored(version: Version): Promise<boolean> {
    const { driver, values } = this.#parts;
    const { row, key, deleted } = version;
    const [head] = await driver.heads(row - 1, 1);
    if (head?.id !== row) return true;
    if (keyOfName(head.name) !== key || head.deleted !== deleted) return false;
    const known = deleted || key === COMPACT_KEY ? undefined : values.peek(version); // that key's value is another one in the table
    const [stored] = known === undefined ? [] : await driver.values([row]);
    return known === undefined || stored === undefined || known.equals(stored);
  }
}
