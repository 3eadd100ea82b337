import { sleep } from "@k3s/async";
import { emptyBatch, type CommitBatch, type Driver } from "@k3s/datastore";

const LATE_MS = 25;

/** Bugs between the store and its database that only a crash brings to light. */
export const driverSeeds = {
  /** A commit is acknowledged, and carried out a little later. */
  "acknowledged-early": (driver: Driver): Driver => {
    let last: Promise<void> = Promise.resolve();
    return withCommit(driver, (batch) => {
      last = last.then(() => sleep(LATE_MS)).then(() => driver.commit(batch));
      return Promise.resolve();
    });
  },
  /** A transaction of several rows is written as two. */
  "torn-commit": (driver: Driver): Driver =>
    withCommit(driver, async (batch) => {
      const half = Math.ceil(batch.rows.length / 2);
      if (batch.rows.length > 1) {
        await driver.commit({ ...emptyBatch, after: batch.after, rows: batch.rows.slice(0, half) });
        await sleep(LATE_MS);
      }
      const after = batch.rows.length > 1 ? (batch.rows[half - 1]?.id ?? batch.after) : batch.after;
      await driver.commit({ ...batch, after, rows: batch.rows.length > 1 ? batch.rows.slice(half) : batch.rows });
    }),
} as const;

export type DriverSeed = keyof typeof driverSeeds;

function withCommit(driver: Driver, commit: (batch: CommitBatch) => Promise<void>): Driver {
  return new Proxy(driver, {
    get(target, name): unknown {
      if (name === "commit") return commit;
      const own: unknown = Reflect.get(target, name, target);
      return typeof own === "function" ? own.bind(target) : own;
    },
  });
}
