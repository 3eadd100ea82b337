import type { TestContext } from "node:test";
import { DriverError, openStore, type CommitBatch, type Driver, type OpenStore } from "@k3s/datastore";
import { openSqliteDriver } from "../../src/index.ts";
import { silent, tempDatabase } from "./temp-store.ts";

/** What a database answers that a test has broken. */
export const failed = () => new DriverError("failed", "Cannot commit: the test says so");

/** The real driver with a commit and a load that tests can break. */
export class BrokenDriver implements Driver {
  readonly #inner: Driver;
  commitWith: (batch: CommitBatch, real: (batch: CommitBatch) => Promise<void>) => Promise<void> = (batch, real) =>
    real(batch);
  pruneWith: (real: () => Promise<void>) => Promise<void> = (real) => real();
  valuesWith: (real: () => ReturnType<Driver["values"]>) => ReturnType<Driver["values"]> = (real) => real();
  isAway = false;

  get traits(): Driver["traits"] {
    return this.#inner.traits;
  }

  constructor(inner: Driver) {
    this.#inner = inner;
  }

  heads: Driver["heads"] = (after, limit) => (this.isAway ? Promise.reject(failed()) : this.#inner.heads(after, limit));
  side: Driver["side"] = () => this.#inner.side();
  values: Driver["values"] = (rows) => this.valuesWith(() => this.#inner.values(rows));
  commit: Driver["commit"] = (batch) => this.commitWith(batch, (real) => this.#inner.commit(real));
  prune: Driver["prune"] = (pruning) => this.pruneWith(() => this.#inner.prune(pruning));
  size: Driver["size"] = () => this.#inner.size();
  defragment: Driver["defragment"] = () => this.#inner.defragment();
  close: Driver["close"] = () => this.#inner.close();
}

/** A store over such a driver, with the path of its database. */
export async function brokenStore(t: TestContext): Promise<{ store: OpenStore; driver: BrokenDriver; path: string }> {
  const path = await tempDatabase(t);
  const driver = new BrokenDriver(await openSqliteDriver({ path, log: silent }));
  const store = await openStore(driver, { log: silent, healthKey: true });
  t.after(() => store.close());
  return { store, driver, path };
}

/** The next commit ends like this, the later ones as they should. */
export function nextCommit(driver: BrokenDriver, how: BrokenDriver["commitWith"]): void {
  driver.commitWith = (batch, real) => {
    driver.commitWith = (later, commit) => commit(later);
    return how(batch, real);
  };
}
