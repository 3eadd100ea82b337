import { DriverError, type Driver } from "./driver.ts";
import { isLive, type Version } from "./version.ts";

/** A read of as many rows is worth a question of its own. */
const ALONE_ROWS = 64;
/** Rows in one question: a moment's work for the database. */
const TOGETHER_ROWS = 256;

interface Waiting extends PromiseWithResolvers<readonly (Buffer | undefined)[]> {
  readonly rows: readonly number[];
}

/** Throws DriverError where the value of a live version is not among `found`: its row is gone from the database. */
export function assertFound(versions: readonly Version[], found: ReadonlyMap<number, Buffer>): void {
  const missing = versions.find((version) => isLive(version) && !found.has(version.row));
  if (missing !== undefined)
    throw new DriverError("failed", `Cannot read value: row ${missing.row} is missing in the database`);
}

/** Reads values through the driver; small reads of one turn of the event loop become one question to the database. */
export class ValueReads {
  readonly #driver: Pick<Driver, "values">;
  #waiting: Waiting[] = [];

  constructor(driver: Pick<Driver, "values">) {
    this.#driver = driver;
  }

  /** As `Driver.values`. */
  read(rows: readonly number[]): Promise<readonly (Buffer | undefined)[]> {
    if (rows.length >= ALONE_ROWS) return this.#driver.values(rows);
    const read = { rows, ...Promise.withResolvers<readonly (Buffer | undefined)[]>() };
    if (this.#waiting.push(read) === 1) setImmediate(() => this.#ask());
    return read.promise;
  }

  #ask(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    let group: Waiting[] = [];
    let count = 0;
    for (const read of waiting) {
      if (count + read.rows.length > TOGETHER_ROWS) {
        void this.#answer(group);
        group = [];
        count = 0;
      }
      group.push(read);
      count += read.rows.length;
    }
    void this.#answer(group);
  }

  async #answer(group: readonly Waiting[]): Promise<void> {
    try {
      const values = await this.#driver.values(group.flatMap(({ rows }) => rows));
      let at = 0;
      for (const { rows, resolve } of group) resolve(values.slice(at, (at += rows.length)));
    } catch (error) {
      for (const { reject } of group) reject(error);
    }
  }
}
